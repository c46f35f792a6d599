"""Reading and writing weights."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model import Backbone, MattingBase, MattingRefine

State = dict[str, Tensor]


def read_state(path: Path) -> State:
    """The state dict, float32, of a trainer's checkpoint, a ``.pth`` or a ``.safetensors`` file.

    Raises:
        ValueError: The file holds no weights.
    """
    state = _load(path)
    state = state.get("network", state)
    return {key: x.float() if x.is_floating_point() else x for key, x in state.items()}


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path}: no weights found") from error


def load_weights(network: MattingBase, state: State) -> None:
    """Load ``state`` into ``network``; the refiner's weights may be missing.

    Raises:
        ValueError: Another weight is missing, or the network has no place for one.
    """
    if not isinstance(network, MattingRefine):
        state = {key: x for key, x in state.items() if not key.startswith("refiner.")}
    wrong = network.load_state_dict(state, strict=False)
    missing = [key for key in wrong.missing_keys if not key.startswith("refiner.")]
    if missing or wrong.unexpected_keys:
        raise ValueError(f"missing weights: {missing}; unexpected weights: {wrong.unexpected_keys}")


def network_from(state: State, backbone_scale: float = 0.25) -> MattingBase:
    """The network that ``state`` belongs to, with its weights, in evaluation mode.

    ``backbone_scale`` applies only to a network with a refiner.
    """
    refined = any(key.startswith("refiner.") for key in state)
    backbone = _backbone(state)
    network = MattingRefine(backbone, backbone_scale) if refined else MattingBase(backbone)
    network.load_state_dict(state)
    return network.eval()


def _backbone(state: State) -> Backbone:
    if any(key.startswith("backbone.features.") for key in state):
        return "mobilenetv2"
    return "resnet101" if "backbone.layer3.22.conv1.weight" in state else "resnet50"


def mean_state(states: Sequence[State]) -> State:
    """The mean of the weights of several networks; integer counters are the last one's.

    Raises:
        ValueError: They are of different networks.
    """
    if any(state.keys() != states[0].keys() for state in states):
        raise ValueError("cannot average weights of different networks")
    return {
        key: torch.stack([state[key] for state in states]).mean(0) if x.is_floating_point() else x
        for key, x in states[-1].items()
    }


def with_rest(base: State, rest: State) -> State:
    """The output channels of ``base`` with the refiner and hidden channels of ``rest``.

    Args:
        base: Of a MattingBase, whose hidden channels are untrained.
        rest: Of a MattingRefine.

    Raises:
        ValueError: ``base`` has a refiner.
    """
    if any(key.startswith("refiner.") for key in base):
        raise ValueError("--rest needs weights without a refiner")
    state = {**rest, **base}
    for key in ("decoder.conv4.weight", "decoder.conv4.bias"):
        state[key] = torch.cat([base[key][:5], rest[key][5:]])
    return state


def share_mean(checkpoints: Sequence[Path]) -> int:
    """Set the weights of parallel runs to their mean; samples and optimizers stay their own.

    Two runs on one core each see more samples than one run on both cores, and their mean is better
    than either. Stop the trainers first.

    Returns:
        The step of the runs.

    Raises:
        ValueError: They are not at the same step of the same recipe, apart from the seed.
    """
    states = [_load(path) for path in checkpoints]
    if not all({"recipe", "step", "network"} <= state.keys() for state in states):
        raise ValueError(f"{', '.join(map(str, checkpoints))}: expected checkpoints of a trainer")
    places = [{**state["recipe"], "seed": 0, "step": state["step"]} for state in states]
    if any(place != places[0] for place in places):
        raise ValueError(
            f"{', '.join(map(str, checkpoints))} are not at the same step of the same recipe"
        )
    mean = mean_state([state["network"] for state in states])
    for path, state in zip(checkpoints, states, strict=True):
        partial = path.with_suffix(".partial")
        torch.save({**state, "network": mean}, partial)
        os.replace(partial, path)
    return int(places[0]["step"])


def export(state: State, path: Path) -> str:
    """Write ``state`` as float16 to a ``.safetensors`` file.

    Returns:
        The SHA-256 of the file.

    Raises:
        ValueError: The path does not end in ``.safetensors``.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: the last argument must be a .safetensors file to write")
    half = {
        key: (x.half() if x.is_floating_point() else x).contiguous() for key, x in state.items()
    }
    partial = path.with_suffix(".partial")
    save_file(half, partial)
    partial.chmod(0o644)  # safetensors makes it readable by its owner only
    os.replace(partial, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
