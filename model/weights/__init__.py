"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "6a7297337dbcb303783688521a4ae876436c0d3ceb7e64ff1fcf2708f74f38bd"
