"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "73f48c99ee66b58d9ed83dde7681de22170ed4ecd2a9d68cfa61a9309c78c749"
