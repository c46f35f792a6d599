"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "3db66bd815c59ad6ca9e360ff431d30f4ab4bb5667d33dbb8d313ffb4ab8eb97"
