"""Mutated files through the program: no traceback, no defect, no hang, bounded memory.

``python tests/fuzz --kind media --seed 1 --count 100`` changes small files at random, runs the
program on each in a process of its own, and prints what went wrong. It is not part of the suite.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import cv2  # noqa: E402
import footage  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from measured import run_measured  # noqa: E402
from PIL import Image  # noqa: E402
from processes import Forked  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

FRAMES = 20
#: Seconds after which a run hangs, and the memory that it may take, in MB.
MAX_SECONDS, MAX_MEGABYTES = 60, 1500

#: Name and encoder options of the clips.
CLIPS = {
    "h264.mp4": dict(codec="libx264", options={"g": "8"}),
    "h264.mkv": dict(codec="libx264", options={"g": "8"}),
    "hevc.mp4": dict(codec="libx265", options={"g": "8", "x265-params": "log-level=none"}),
    "sound.mkv": dict(codec="libx264", options={"g": "8"}, sound="aac"),
    "vp9.webm": dict(codec="libvpx-vp9", options={"g": "8"}),
    "ts.ts": dict(codec="mpeg2video", options={"g": "8"}),
    "sound.ts": dict(codec="libx264", options={"g": "8", "bf": "2"}, sound="aac"),
    "dvd.mpg": dict(codec="mpeg2video", options={"g": "8"}),
    "flash.flv": dict(codec="libx264", options={"g": "8", "bf": "2"}),
    "broadcast.mxf": dict(codec="mpeg2video", options={"g": "8"}),
    "windows.wmv": dict(codec="wmv2", options={"g": "8"}),
    "xvid.avi": dict(codec="mpeg4", options={"g": "8"}),
    "lossless.mkv": dict(codec="ffv1", options={}),
    "prores.mov": dict(codec="prores_ks", pix_fmt="yuv422p10le", options={}),
}
#: Formats of the images.
IMAGES = ("png", "jpg", "tif", "webp", "bmp", "gif")


@dataclass(frozen=True)
class Case:
    """One run: the command line in a folder, and what is asked of it beyond a clean end."""

    argv: list[str]
    check: Callable[[Path, str], str | None]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change some bytes, or cut, drop, repeat or blank a part."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        if not changed:
            break
        at = chance.randrange(len(changed))
        size = min(len(changed) - at, chance.choice((1, 4, 64, 1000, len(data) // 5 + 1)))
        match chance.randrange(6):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at : at + size] = chance.randbytes(size)
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + size]
            case 4:
                changed[at:at] = changed[at : at + size]
            case 5:
                changed[at : at + size] = bytes(size)
    return bytes(changed)


def make_originals(folder: Path) -> None:
    """Everything that is mutated later, and what a run needs besides."""
    for name, options in CLIPS.items():
        footage.make_clip(folder / name, FRAMES, rate=Fraction(25), **options)
    footage.make_plate(folder / "plate.png")
    footage.make_checkpoint(folder / "half.pth")
    image = Image.fromarray(footage.numbered(0))
    for extension in IMAGES:
        image.save(folder / f"image.{extension}")
    deep = (footage.numbered(0).astype(np.uint16) * 257)[..., ::-1]
    for extension in ("png", "tif"):
        cv2.imwrite(str(folder / f"deep.{extension}"), deep)
    state = torch.load(folder / "half.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": state, "epoch": 3}, folder / "wrapped.pth")
    save_file(state, folder / "half.safetensors")


def media(originals: Path, folder: Path, chance: random.Random) -> Case:
    name = chance.choice(list(CLIPS))
    clip = folder / name
    clip.write_bytes(mutate((originals / name).read_bytes(), chance))
    return Case(_argv(clip, originals), _no_silent_loss)


def image(originals: Path, folder: Path, chance: random.Random) -> Case:
    names = [*(f"image.{extension}" for extension in IMAGES), "deep.png", "deep.tif"]
    name = chance.choice(names)
    changed = folder / name
    changed.write_bytes(mutate((originals / name).read_bytes(), chance))
    argv = _argv(originals / "h264.mp4", originals)
    argv[argv.index("--video-bgr") + 1] = str(changed)
    return Case(argv, lambda out, told: None)


def checkpoint(originals: Path, folder: Path, chance: random.Random) -> Case:
    name = chance.choice(("half.pth", "old.pth", "wrapped.pth", "half.safetensors"))
    data = (originals / name).read_bytes()
    head = chance.choice((2000, 50_000, len(data)))  # where the descriptions are, more often
    changed = folder / name
    changed.write_bytes(mutate(data[:head], chance) + data[head:])
    argv = _argv(originals / "h264.mp4", originals)
    argv[argv.index("--model-checkpoint") + 1] = str(changed)
    return Case(argv, lambda out, told: None)


def report(originals: Path, folder: Path, chance: random.Random) -> Case:
    """An output folder with a ``run.json`` that somebody changed; other files there must stay."""
    out = folder / "out"
    (out / "com").mkdir(parents=True)
    (out / "com/00000.png").write_bytes((originals / "image.png").read_bytes())
    (out / "README").write_text("mine")
    output = {"kind": "com", "path": "com", "extension": "png", "frames": 3}
    plain = {"status": "done", "versions": {"bgmv2": "0.1.0"}, "outputs": [output]}
    values = [None, True, -1, 10**30, "x", "../..", "/", [], {}, [[]], {"bgmv2": 1}, "README"]
    for _ in range(chance.randrange(4)):
        place = chance.choice([plain, output])
        place[chance.choice([*place, "made_from", "numbers"])] = chance.choice(values)
    text = json.dumps(plain).encode()
    (out / "run.json").write_bytes(text if chance.random() < 0.5 else mutate(text, chance))
    argv = _argv(originals / "h264.mp4", originals)
    return Case([*argv, chance.choice(("--overwrite", "--resume"))], _leaves_other_files)


def _argv(clip: Path, originals: Path) -> list[str]:
    flags = {
        "video-src": clip,
        "video-bgr": originals / "plate.png",
        "model-checkpoint": originals / "half.pth",
        "output-dir": "out",
        "output-format": "image_sequences",
        "device": "cpu",
    }
    return [str(part) for name, value in flags.items() for part in (f"--{name}", value)]


def _no_silent_loss(out: Path, told: str) -> str | None:
    """Frames that are missing or have another's number, and no warning."""
    files = sorted((out / "com").glob("*.png"))
    if "warning" in told or "error" in told:
        return None
    if len(files) != FRAMES:
        return f"{len(files)} of {FRAMES} frames without a word"
    pictures = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[..., 2::-1] for file in files]
    numbers = [footage.read_number(picture) for picture in pictures]
    moved = [n - i for i, n in enumerate(numbers) if n != i and _shows(pictures[i], n)]
    most = Counter(moved).most_common(1)
    is_bad = most and most[0][1] >= 3
    return f"renumbered without a word: {numbers}" if is_bad else None


def _shows(picture: np.ndarray, number: int) -> bool:
    """Whether a picture is that of a number, rather than one whose number is damaged."""
    if number >= FRAMES:
        return False
    return bool(np.abs(picture.astype(int) - footage.numbered(number)).mean() < 6)


def _leaves_other_files(out: Path, told: str) -> str | None:
    is_there = (out / "README").exists() and (out / "README").read_text() == "mine"
    return None if is_there else "removed README"


KINDS = {"media": media, "images": image, "checkpoints": checkpoint, "reports": report}


def judge(case: Case, folder: Path) -> tuple[str, str | None]:
    """Run a case: its exit status as text, and what is wrong, if anything."""
    process = Forked(run_measured, case.argv, cwd=folder)
    finished = process.wait(MAX_SECONDS)
    told = finished.stderr
    peak = int((folder / ".peak").read_text()) if (folder / ".peak").exists() else 0
    if finished.returncode not in (0, 1, 2):
        return str(finished.returncode), f"ended with {finished.returncode}: {told[-300:]}"
    for word in ("Traceback", "defect"):
        if word in told:
            return str(finished.returncode), told[-400:]
    if peak > MAX_MEGABYTES:
        return str(finished.returncode), f"took {peak} MB"
    return str(finished.returncode), case.check(folder / "out", told)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="files of each kind")
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as base:
        originals = Path(base) / "originals"
        originals.mkdir()
        make_originals(originals)
        for kind in args.kind or KINDS:
            statuses: Counter[str] = Counter()
            started = time.monotonic()
            for number in range(args.count):
                folder = Path(base) / "case"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                chance = random.Random(f"{kind} {args.seed} {number}")
                status, wrong = judge(KINDS[kind](originals, folder, chance), folder)
                statuses[status] += 1
                if wrong is not None:
                    bad += 1
                    print(f"{kind} {args.seed} {number}: {wrong}", flush=True)
            seconds = time.monotonic() - started
            print(f"{kind}: {dict(statuses)} in {seconds:.0f} s", flush=True)
    print(f"{bad} went wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
