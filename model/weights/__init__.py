"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "d07f5843dd1f9533b1491b02c9b11895b094acd9a573c77fcc1a01ff1e38fb56"
