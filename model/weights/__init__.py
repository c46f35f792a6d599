"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "7e0ffef0b8bcf6e459e63246d30b4756516c9785273d1fd750183795178db206"
