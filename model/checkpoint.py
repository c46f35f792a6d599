"""Loads a network from a checkpoint file."""

import hashlib
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from media import MattingError, os_errors_as

from .matting import MattingBase, MattingRefine
from .names import Backbone, ModelType, RefineMode
from .weights import BUILTIN, SHA256

#: What readers raise for damaged files.
_DAMAGE_ERRORS = (
    *(EOFError, RuntimeError, SafetensorError, OSError, ValueError, struct.error),
    *(KeyError, IndexError, AttributeError, TypeError, AssertionError, zipfile.BadZipFile),
)

_MODULES = ("backbone.", "aspp.", "decoder.", "refiner.")
#: Keys under which training programs store the state dict.
_WRAPPER_KEYS = ("state_dict", "model_state_dict", "model")
#: Prefixes that DataParallel, a wrapping module and torch.compile put before every key.
_PREFIXES = ("module.", "model.", "_orig_mod.")


class CheckpointError(MattingError, OSError):
    """A checkpoint that cannot be used; the message names the file and its content."""


def load_network(
    path: str | Path | None = None,
    *,
    model_type: ModelType | None = None,
    backbone: Backbone | None = None,
    backbone_scale: float = 0.25,
    refine_mode: RefineMode = "sampling",
    refine_sample_pixels: int = 80_000,
    refine_threshold: float = 0.7,
    refine_kernel_size: int | None = None,
) -> MattingBase:
    """Build a network with the weights of a checkpoint, ready to predict.

    Args:
        path: A state dict (``.pth``, ``.safetensors``) or a TorchScript file, of any precision and
            from any device; None for the built-in weights.
        model_type: By default ``mattingrefine`` if the checkpoint has a refiner. ``mattingbase``
            ignores a refiner.
        backbone: The expected backbone; read from the checkpoint by default.
        backbone_scale: Size of the base's input relative to the frame, in (0, 1/2].
        refine_mode: ``sampling``, ``thresholding`` or ``full``; see :class:`model.refiner.Refiner`.
        refine_sample_pixels: Full-size pixels to refine in each frame (``sampling``).
        refine_threshold: Error in [0, 1] above which a patch is refined (``thresholding``).
        refine_kernel_size: The expected kernel size, 1 or 3; read from the checkpoint by default.

    Returns:
        A :class:`MattingRefine` or :class:`MattingBase` in float32 on the CPU.

    Raises:
        CheckpointError: The file cannot be read, or does not hold the expected network.
        UsageError: An option is out of its range.
    """
    if path is None:
        path = BUILTIN
        _check_builtin()
    path = Path(path)
    state = read_state_dict(path)
    found_backbone, found_kernel = _backbone_of(state), _kernel_size_of(state)
    _check_expected(path, "--model-backbone", backbone, found_backbone)
    if model_type is None:
        model_type = "mattingbase" if found_kernel is None else "mattingrefine"
    network: MattingBase
    with torch.device("meta"):  # the weights are replaced, so they are not initialized
        if model_type == "mattingbase":
            state = {key: value for key, value in state.items() if not key.startswith("refiner.")}
            network = MattingBase(found_backbone)
        else:
            if found_kernel is None:
                raise CheckpointError(
                    f"{path}: has no refiner, which --model-type mattingrefine needs; "
                    "give --model-type mattingbase"
                )
            _check_expected(path, "--model-refine-kernel-size", refine_kernel_size, found_kernel)
            network = MattingRefine(
                found_backbone,
                backbone_scale,
                refine_mode,
                refine_sample_pixels,
                refine_threshold,
                found_kernel,
            )
    _check_fit(path, state, network)
    for key, wanted in network.state_dict().items():
        value = state[key]
        if wanted.is_floating_point() and not value.is_floating_point():
            kind = "quantised" if value.is_quantized else str(value.dtype).removeprefix("torch.")
            raise CheckpointError(f"{path}: {key} is {kind}; save the weights as floats")
    network.load_state_dict(state, assign=True)
    return network.float().eval().requires_grad_(False)


def _check_builtin() -> None:
    try:
        digest = hashlib.sha256(BUILTIN.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{BUILTIN}: {error.strerror}; reinstall the program") from error
    if digest != SHA256:
        raise CheckpointError(f"{BUILTIN}: the built-in weights are damaged; reinstall the program")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, on the CPU, under their published names.

    Python code in the file is never run: only tensors are unpickled, and TorchScript has an
    interpreter of its own.

    Raises:
        CheckpointError: The file cannot be read, or is not a checkpoint of this network.
    """
    content = _read_file(path)
    while isinstance(content, Mapping):
        inner = next((content[name] for name in _WRAPPER_KEYS if name in content), None)
        if not isinstance(inner, Mapping):
            break
        content = inner
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a state dict")
    state = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    while prefix := next(
        (p for p in _PREFIXES if state and all(k.startswith(p) for k in state)), ""
    ):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    if not all(any(key.startswith(module) for key in state) for module in _MODULES[:3]):
        names = ", ".join(sorted({key.split(".")[0] for key in state})[:4]) or "no tensors"
        raise CheckpointError(
            f"{path}: a checkpoint of another network (it has {names}; expected backbone, aspp, "
            "decoder and refiner)"
        )
    return state


def _read_file(path: Path) -> Any:
    kind = _kind_of(path)
    try:
        if kind == "safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, pickles may be unusual
            if kind == "torchscript":
                return torch.jit.load(path, map_location="cpu").state_dict()
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise CheckpointError(f"{path}: cut short; download it again") from error
        raise CheckpointError(
            f"{path}: not a state dict, or one with Python objects, which are not loaded because "
            "they could run code; save only the state_dict() of the network"
        ) from error
    except _DAMAGE_ERRORS as error:
        raise CheckpointError(f"{path}: damaged or cut short; download it again") from error


def _kind_of(path: Path) -> Literal["pickle", "torchscript", "safetensors"]:
    """The kind of a checkpoint by its first bytes.

    Raises:
        CheckpointError: The file cannot be read, or is not a checkpoint.
    """
    with (
        os_errors_as(CheckpointError, path, ValueError),  # ValueError: a NUL character
        open(path, "rb") as file,
    ):
        head = file.read(512)
    text = head.lstrip().lower()
    if not head:
        raise CheckpointError(f"{path}: the file is empty; download it again")
    if text.startswith((b"<!doctype", b"<html", b"<head")):
        raise CheckpointError(
            f"{path}: an HTML page, not a checkpoint; download the file itself, not its web page"
        )
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path}: a Git LFS pointer, not the checkpoint itself; fetch it with git lfs pull"
        )
    if head.startswith(b"PK"):
        try:
            is_whole = zipfile.is_zipfile(path)
            names = zipfile.ZipFile(path).namelist() if is_whole else []
        except _DAMAGE_ERRORS as error:
            raise CheckpointError(f"{path}: damaged; download it again") from error
        if not is_whole:
            raise CheckpointError(f"{path}: cut short; download it again")
        is_script = any(name.endswith("/constants.pkl") for name in names)
        return "torchscript" if is_script else "pickle"
    if head[:1] == b"\x80":
        return "pickle"
    if head[8:9] == b"{":
        return "safetensors"
    raise CheckpointError(f"{path}: not a checkpoint; expected .pth, .safetensors or TorchScript")


def _backbone_of(state: Mapping[str, Tensor]) -> Backbone:
    if "backbone.features.0.0.weight" in state:
        return "mobilenetv2"
    return "resnet101" if "backbone.layer3.22.conv1.weight" in state else "resnet50"


def _kernel_size_of(state: Mapping[str, Tensor]) -> int | None:
    """1 or 3; None without a refiner."""
    weight = state.get("refiner.conv1.weight")
    return None if weight is None else (1 if weight.shape[-1:] == (1,) else 3)


def _check_expected(path: Path, flag: str, given: object, found: object) -> None:
    if given is not None and given != found:
        raise CheckpointError(f"{path}: holds {found}, not {given}, which {flag} asks for")


def _check_fit(path: Path, state: Mapping[str, Tensor], network: MattingBase) -> None:
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    given = {key: value.shape for key, value in state.items()}
    problems = (
        [f"lacks {key}" for key in wanted if key not in given]
        + [f"has {key}, which is not expected" for key in given if key not in wanted]
        + [
            f"{key} is {tuple(given[key])}, expected {tuple(shape)}"
            for key, shape in wanted.items()
            if key in given and given[key] != shape
        ]
    )
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise CheckpointError(f"{path}: does not fit the network: {problems[0]}{more}")
