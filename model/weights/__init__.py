"""The built-in weights: MattingRefine with mobilenetv2, trained by this project's ``training``."""

from pathlib import Path

BUILTIN = Path(__file__).with_name("mobilenetv2.safetensors")
SHA256 = "ed162c348c45a2bd2771658b34c9bf75f096814b1a4ecedfa8d156755615294d"
