"""Loads a network from a checkpoint file."""

import hashlib
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from media import MattingError, os_errors_as

from .archive import ArchiveError, StoredTensor, open_archive
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
#: Wrappers within wrappers.
_MAX_WRAPPERS = 8
#: Prefixes that DataParallel, a wrapping module and torch.compile put before every key.
_PREFIXES = ("module.", "model.", "_orig_mod.")


#: A tensor, or where it is in a file.
Stored = Tensor | StoredTensor


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
    with _open_state(path) as state:
        network = _build(
            path,
            state,
            model_type=model_type,
            backbone=backbone,
            backbone_scale=backbone_scale,
            refine_mode=refine_mode,
            refine_sample_pixels=refine_sample_pixels,
            refine_threshold=refine_threshold,
            refine_kernel_size=refine_kernel_size,
        )
        weights = _load_weights(path, state, network)
    network.load_state_dict(weights, assign=True)
    return network.float().eval().requires_grad_(False)


def _build(
    path: Path,
    state: Mapping[str, Stored],
    *,
    model_type: ModelType | None,
    backbone: Backbone | None,
    backbone_scale: float,
    refine_mode: RefineMode,
    refine_sample_pixels: int,
    refine_threshold: float,
    refine_kernel_size: int | None,
) -> MattingBase:
    """The network that a state dict fits, without weights yet; see :func:`load_network`."""
    found_backbone, found_kernel = _backbone_of(state), _kernel_size_of(state)
    _check_expected(path, "--model-backbone", backbone, found_backbone)
    if model_type is None:
        model_type = "mattingbase" if found_kernel is None else "mattingrefine"
    network: MattingBase
    with torch.device("meta"):  # the weights are replaced, so they are not initialized
        if model_type == "mattingbase":
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
    if model_type == "mattingbase":
        state = {key: value for key, value in state.items() if not key.startswith("refiner.")}
    _check_fit(path, state, network)
    return network


def _load_weights(
    path: Path, state: Mapping[str, Stored], network: MattingBase
) -> dict[str, Tensor]:
    """The weights of a network that a state dict fits, on the CPU."""
    weights = {}
    for key, wanted in network.state_dict().items():
        stored = state[key]
        if wanted.is_floating_point() and not stored.dtype.is_floating_point:
            kind = "quantised" if stored.is_quantized else str(stored.dtype).removeprefix("torch.")
            raise CheckpointError(f"{path}: {key} is {kind}; save the weights as floats")
        weights[key] = stored if isinstance(stored, Tensor) else stored.load()
    return weights


def _check_builtin() -> None:
    try:
        digest = hashlib.sha256(BUILTIN.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{BUILTIN}: {error.strerror}; reinstall the program") from error
    if digest != SHA256:
        raise CheckpointError(f"{BUILTIN}: the built-in weights are damaged; reinstall the program")


@contextmanager
def _open_state(path: Path) -> Iterator[dict[str, Stored]]:
    """The tensors of a checkpoint under their published names, as long as it is open.

    Nothing in the file is run, and a tensor of a pickle takes memory only when it is loaded.

    Raises:
        CheckpointError: The file cannot be read, or is not a checkpoint of this network.
    """
    kind = _kind_of(path)
    try:
        if kind == "safetensors":
            yield _state_in(path, load_file(path))
            return
        with open_archive(path) as content:
            yield _state_in(path, content)
    except MattingError:
        raise
    except ArchiveError as error:
        if not error.is_foreign:
            raise CheckpointError(f"{path}: damaged or cut short; download it again") from error
        raise CheckpointError(
            f"{path}: not a state dict, or one with other objects than tensors, which are not read "
            f"because they could run code ({error}); save only the state_dict() of the network"
        ) from error
    except _DAMAGE_ERRORS as error:
        raise CheckpointError(f"{path}: damaged or cut short; download it again") from error


def _state_in(path: Path, content: Any) -> dict[str, Stored]:
    """The state dict within the content of a checkpoint, without wrappers and prefixes."""
    for _ in range(_MAX_WRAPPERS):
        wrapped = isinstance(content, Mapping)
        keys = (name for name in _WRAPPER_KEYS if wrapped and name in content)
        inner = next((content[name] for name in keys), None)
        if not isinstance(inner, Mapping):
            break
        content = inner
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a state dict")
    state = {str(key): x for key, x in content.items() if isinstance(x, Tensor | StoredTensor)}
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


def _kind_of(path: Path) -> Literal["pickle", "safetensors"]:
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
        except _DAMAGE_ERRORS as error:
            raise CheckpointError(f"{path}: damaged; download it again") from error
        if not is_whole:
            raise CheckpointError(f"{path}: cut short; download it again")
        return "pickle"
    if head[:1] == b"\x80":
        return "pickle"
    if head[8:9] == b"{":
        return "safetensors"
    raise CheckpointError(f"{path}: not a checkpoint; expected .pth, .safetensors or TorchScript")


def _backbone_of(state: Mapping[str, Stored]) -> Backbone:
    if "backbone.features.0.0.weight" in state:
        return "mobilenetv2"
    return "resnet101" if "backbone.layer3.22.conv1.weight" in state else "resnet50"


def _kernel_size_of(state: Mapping[str, Stored]) -> int | None:
    """1 or 3; None without a refiner."""
    weight = state.get("refiner.conv1.weight")
    return None if weight is None else (1 if weight.shape[-1:] == (1,) else 3)


def _check_expected(path: Path, flag: str, given: object, found: object) -> None:
    if given is not None and given != found:
        raise CheckpointError(f"{path}: holds {found}, not {given}, which {flag} asks for")


def _check_fit(path: Path, state: Mapping[str, Stored], network: MattingBase) -> None:
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
