"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "b2aec722cbb1db62ad7d19d2bdb6d89071516737c94a964dbf020bc98f5ffd14"
