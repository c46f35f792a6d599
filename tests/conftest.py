"""What tests share: the CUDA gate, and the program in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# As the program has it: idle threads of one test process leave the cores to the other's.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import footage
import pytest
import torch

ROOT = Path(__file__).parent.parent


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        if os.environ.get("REQUIRE_CUDA") == "1":
            pytest.fail("REQUIRE_CUDA=1, but there is no CUDA device")
        pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that sees an alpha of 0.5 everywhere."""
    return footage.make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "half.pth")


@pytest.fixture
def folder(tmp_path: Path, checkpoint: Path) -> Path:
    """A folder with a clip of five frames, its plate and a checkpoint."""
    footage.make_clip(tmp_path / "clip.mp4", 5)
    footage.make_plate(tmp_path / "plate.png")
    (tmp_path / "half.pth").hardlink_to(checkpoint)
    return tmp_path


Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs the command line in ``tmp_path``; keywords go to ``subprocess.run``."""

    def run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "inference_video.py"), *map(str, args)]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, **options
        )

    return run
