"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "73784fe505f825eb600ff7d98f7a91eb756b975d2c2d038cc55bbfdf0bff42f9"
