"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "3691f5e28c23ba1262ab6cdb6dd1841aa8bf51b49336025d7aae56d817b0278e"
