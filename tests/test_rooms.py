"""The rooms: which may import which, and what some know nothing of."""

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT

DOCS = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
#: What each room may import, as the table of rooms in the docs says; nothing runs back up.
MAY_IMPORT = {
    room: set(re.findall(r"`(\w+)`", allowed))
    for room, allowed in re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", DOCS, re.M)
} | {
    "drawing": {"media", "dataset", "plate"},
    "inference_video.py": {"media", "writers", "pipeline", "cli"},
}


def sources(room: str) -> list[Path]:
    path = ROOT / room
    return [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.pyi")]


def imported(file: Path) -> set[str]:
    """The rooms that a file imports by name, inside functions, too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
    return {name.split(".")[0] for name in names} & {*MAY_IMPORT, "inference_video", "training"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_import_runs_back_up(room):
    files = sources(room)
    assert files and len(MAY_IMPORT) == 9
    for file in files:
        assert imported(file) - {room} <= MAY_IMPORT[room], file


def test_readers_know_nothing_of_plates_and_sinks_nothing_of_the_network():
    for room, word in (("dataset", "plate"), ("writers", "network")):
        for file in sources(room):
            told = re.findall(rf".*\b{word}.*", file.read_text(), re.IGNORECASE)
            assert not told, (file, told)


def test_what_a_room_exports_is_there():
    """The exports are declared in stubs alone; each is found where its stub says."""
    for room in ("media", "dataset", "model", "writers", "plate", "pipeline"):
        module = __import__(room)
        assert module.__all__
        for name in module.__all__:
            assert getattr(module, name) is not None, (room, name)
