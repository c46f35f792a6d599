"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "e3fcb49d0f03449205524755e3ca6915d125db4824c9d11beaf617edaef5389d"
