"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "3c6b3fbb48fad4db61e3d1b9d150c162d999455d11c7d8d019eb50f43f796ad6"
