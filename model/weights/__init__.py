"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

import hashlib
from pathlib import Path

from safetensors.torch import load
from torch import Tensor

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "ab1bc572bcedc5042c6c300bdde9ce50ba6b17d7728dc3c06160a6c62c45615a"


def builtin_state() -> dict[str, Tensor]:
    """The state dict of the built-in MattingRefine (mobilenetv2), float32.

    Raises:
        OSError: The file is missing.
        ValueError: The file is not the one that shipped.
    """
    data = BUILTIN.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{BUILTIN} is damaged: its SHA-256 is {digest}, not {SHA256}")
    state = load(data)
    return {key: x.float() if x.is_floating_point() else x for key, x in state.items()}
