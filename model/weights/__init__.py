"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "34f5b74d319d0624d9c43ce7ef63bf3bcc17be3dee862db532babe7f88dbd940"
