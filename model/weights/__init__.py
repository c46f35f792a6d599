"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "ada267aca46aeb732fcf1bb74bc05ad2ae5319936f2aa03ee7c58db2c29dda73"
