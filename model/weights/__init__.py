"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "b6e129ee4e09644cd31a4b85b69c98ceb4017ea834e81d2f6975e4a8fd29a953"
