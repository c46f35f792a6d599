"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "986528f645f73deeec097eeecca03602e55f036d0ebbcb01a1fe505362d4fe00"
