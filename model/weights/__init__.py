"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "ab1bc572bcedc5042c6c300bdde9ce50ba6b17d7728dc3c06160a6c62c45615a"
