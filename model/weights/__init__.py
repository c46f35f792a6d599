"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "e95686a346073296b3f22cfd910cb5305a775f0cd953cd116b6056aca73ad94c"
