"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "d8524b9bd01d1cd118d32b0645207a2940d13bbcc5d332a626aa7fd11d4caa23"
