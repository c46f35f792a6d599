"""Garbage and core mattes: images, sequences and clips."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from footage import SIZE, KnownNetwork, make_clip, numbered
from runs import matte, report

from dataset import MemorySource
from model import Predictor
from pipeline import Mattes, open_mattes, repaired_plate
from pipeline.core_matte import with_core
from pipeline.settings import Settings
from plate import AutoPlate
from plate.marks import FREE, TAKEN
from plate.mosaic import make_mosaic
from writers import MemoryWriter

HEIGHT, WIDTH = SIZE
COUNT = 6


def cut(number: int) -> np.ndarray:
    """A matte that is black from the left, farther with each frame."""
    image = np.full(SIZE, 255, np.uint8)
    image[:, : 8 * (number + 1)] = 0
    return image


def save_sequence(folder: Path, numbers, first: int | None = None) -> Path:
    """Mattes with these numbers in their names; the one called ``first`` is that of frame 0."""
    folder.mkdir()
    for number in numbers:
        shown = number - (numbers[0] if first is None else first)
        cv2.imwrite(str(folder / f"roto.{number:04d}.png"), cut(shown))
    return folder


def save_video(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "gray"
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cut(number), "gray")))
        container.mux(stream.encode(None))
    return path


def save_frames(folder: Path, numbers) -> Path:
    folder.mkdir()
    for number in numbers:
        cv2.imwrite(str(folder / f"shot.{number:04d}.png"), numbered(number)[..., ::-1])
    return folder


def seen(folder: Path, src: Path, **flags) -> tuple[np.ndarray, list[str]]:
    """Alpha of the frames (N, H, W), and the warnings of the run."""
    pha = MemoryWriter()
    cv2.imwrite(str(folder / "plate.png"), np.full((*SIZE, 3), 90, np.uint8))
    result = matte(
        folder, src, output_dir=None, output_format="video", writers={"pha": pha}, **flags
    )
    return pha.frames[:, 0].numpy(), result.warnings


def black_until(pha: np.ndarray) -> list[int]:
    """In which of the steps of :func:`cut` each alpha ends to be black."""
    return [int(np.argmax(frame[20] > 0)) // 8 - 1 for frame in pha]


@pytest.fixture
def clip(tmp_path) -> Path:
    return make_clip(tmp_path / "clip.mp4", COUNT)


@pytest.mark.parametrize("kind", ["folder", "pattern", "video"])
def test_a_matte_may_be_one_for_each_frame(tmp_path, clip, kind):
    path = {
        "folder": lambda: save_sequence(tmp_path / "roto", range(1, 1 + COUNT)),
        "pattern": lambda: save_sequence(tmp_path / "roto", range(COUNT)) / "roto.####.png",
        "video": lambda: save_video(tmp_path / "roto.mkv"),
    }[kind]()
    pha, warnings = seen(tmp_path, clip, garbage_matte=path, batch_size=4)
    assert black_until(pha) == list(range(COUNT)) and not warnings
    part, _ = seen(tmp_path, clip, garbage_matte=path, frames="2,4-5")
    np.testing.assert_array_equal(part, pha[[2, 4, 5]])


def test_numbers_of_a_sequence_are_those_of_the_clip(tmp_path):
    clip = save_frames(tmp_path / "clip", range(1003, 1003 + COUNT))
    roto = save_sequence(tmp_path / "roto", range(1001, 1010), first=1003)
    pha, warnings = seen(tmp_path, clip, garbage_matte=roto, frames="1005-1007")
    assert black_until(pha) == [2, 3, 4] and not warnings


def test_numbers_set_by_hand_count_too(tmp_path, clip):
    roto = save_sequence(tmp_path / "roto", range(998, 998 + 9), first=1000)
    pha, _ = seen(tmp_path, clip, garbage_matte=roto, start_number=1000)
    assert black_until(pha) == list(range(COUNT))


def test_a_matte_that_lacks_frames_holds_the_one_before_and_says_so(tmp_path):
    clip = save_frames(tmp_path / "clip", range(11, 11 + COUNT))
    roto = save_sequence(tmp_path / "roto", [11, 12, 14], first=11)
    pha, warnings = seen(tmp_path, clip, garbage_matte=roto)
    assert black_until(pha) == [0, 1, 1, 3, 3, 3]
    assert any("lacks frame 13 and 2 more; the one before holds" in text for text in warnings)


def test_a_matte_with_other_numbers_is_paired_in_order(tmp_path):
    clip = save_frames(tmp_path / "clip", range(1001, 1001 + COUNT))
    roto = save_sequence(tmp_path / "roto", range(1, 1 + COUNT))
    pha, warnings = seen(tmp_path, clip, garbage_matte=roto)
    assert black_until(pha) == list(range(COUNT))
    assert any("are paired in order" in text for text in warnings)


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_a_matte_that_ends_before_the_clip_holds_and_says_so(tmp_path, kind):
    clip = make_clip(tmp_path / "clip.mp4", COUNT + 2)
    if kind == "folder":
        path = save_sequence(tmp_path / "roto", range(COUNT))
    else:
        path = save_video(tmp_path / "roto.mkv")
    pha, warnings = seen(tmp_path, clip, garbage_matte=path)
    assert black_until(pha) == [*range(COUNT), COUNT - 1, COUNT - 1]
    assert any("ends before the clip" in text and "holds" in text for text in warnings)


def test_a_quick_look_takes_the_mattes_of_its_frames(tmp_path, clip):
    path = save_sequence(tmp_path / "roto", range(COUNT))
    cv2.imwrite(str(tmp_path / "plate.png"), np.full((*SIZE, 3), 90, np.uint8))
    matte(tmp_path, clip, garbage_matte=path, preview_only=True)
    assert (tmp_path / "out/preview.png").exists()
    assert report(tmp_path / "out")["status"] == "done"


def test_resume_notices_that_a_matte_has_changed(tmp_path, clip):
    path = save_sequence(tmp_path / "roto", range(COUNT)) / "roto.%04d.png"
    cv2.imwrite(str(tmp_path / "plate.png"), np.full((*SIZE, 3), 90, np.uint8))
    matte(tmp_path, clip, core_matte=path)
    matte(tmp_path, clip, core_matte=path, resume=True)
    cv2.imwrite(str(tmp_path / "roto/roto.0003.png"), np.zeros((7, 14), np.uint8))
    with pytest.raises(ValueError, match="has changed since the earlier run"):
        matte(tmp_path, clip, core_matte=path, resume=True)


def subject(size: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """A disc with strands of hair around it, and where the hair is."""
    pha = np.zeros((size, size), np.float32)
    middle = size // 2
    for angle in np.linspace(0, 2 * np.pi, 40):
        end = (middle + size * 0.42 * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        cv2.line(pha, (middle, middle), tuple(map(int, end)), 0.8, 1, cv2.LINE_AA)
    hair = pha > 0
    cv2.circle(pha, (middle, middle), int(size * 0.3), 1, -1, cv2.LINE_AA)
    return pha, hair & (pha < 1)


def closed(pha: np.ndarray, core: np.ndarray) -> np.ndarray:
    tensors = (torch.from_numpy(x.astype(np.float32))[None, None] for x in (pha, core))
    return with_core(*tensors)[0, 0].numpy()


def test_a_core_leaves_the_soft_edge_of_a_large_frame_alone():
    y, x = np.mgrid[:540, :960]
    pha = ((150 - np.hypot(y - 270, x - 480)) / 12 + 0.5).clip(0, 1)
    found = closed(pha, np.ones_like(pha))
    assert np.abs(found - pha.astype(np.float32)).max() < 0.02


def test_a_rough_core_closes_holes_and_leaves_hair_alone():
    pha, hair = subject()
    damaged = pha.copy()
    cv2.circle(damaged, (100, 120), 14, 0, -1)
    cv2.ellipse(damaged, (150, 130), (20, 6), 20, 0, 360, 0.3, -1)
    cv2.rectangle(damaged, (116, 178), (124, 200), 0, -1)  # a notch, open at the edge
    box = np.zeros_like(pha)
    box[20:220, 20:220] = 1  # beyond the hair
    found = closed(damaged, box)
    assert (found >= damaged).all()
    inside = cv2.erode((pha == 1).astype(np.uint8), np.ones((9, 9))) > 0
    inside[170:, 110:130] = False  # of the notch, the bottom is enough
    assert found[inside].min() > 0.97 and found[178:184, 120].min() > 0.9
    assert np.abs(found - damaged)[hair].max() < 0.05
    apart = np.abs(found - pha)
    apart[170:205, 110:130] = 0
    assert apart.max() < 0.05, "the box leaves no trace of its own"


def test_a_core_closes_only_what_it_covers_as_far_as_it_is_white():
    pha, _ = subject()
    damaged = pha.copy()
    for x in (90, 150):
        cv2.circle(damaged, (x, 120), 10, 0, -1)
    core = np.zeros_like(pha)
    core[:, 120:] = 0.5
    found = closed(damaged, core)
    assert found[120, 150] == pytest.approx(0.5, abs=0.02) and found[120, 90] == 0
    assert not closed(np.zeros_like(pha), np.ones_like(pha)).any(), "nothing is there to close"
    np.testing.assert_array_equal(closed(damaged, np.zeros_like(pha)), damaged)


def test_the_program_closes_holes_and_background_for_certain_wins(tmp_path):
    pha, _ = subject()
    frame = np.repeat(np.rint(255 * pha)[..., None], 3, axis=2)
    cv2.circle(frame, (100, 120), 14, (0, 0, 0), -1)
    cv2.circle(frame, (150, 120), 14, (0, 0, 0), -1)
    (tmp_path / "clip").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"clip/{number}.png"), frame)
    core, garbage = np.full((120, 120), 255, np.uint8), np.full((240, 240), 255, np.uint8)
    garbage[:, :105] = 0
    cv2.imwrite(str(tmp_path / "core.png"), core)  # of another size
    cv2.imwrite(str(tmp_path / "garbage.png"), garbage)
    cv2.imwrite(str(tmp_path / "plate.png"), np.zeros_like(frame))
    pha = MemoryWriter()
    flags = {"core_matte": tmp_path / "core.png", "garbage_matte": tmp_path / "garbage.png"}
    result = matte(tmp_path, tmp_path / "clip", output_dir=None, writers={"pha": pha}, **flags)
    found = pha.frames[:, 0].numpy()
    assert (found[:, 120, 150] == 255).all() and not found[:, :, :105].any()
    assert any("the core matte is resized" in text for text in result.warnings)


def walk(count: int = 20, stays: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """A wall before which somebody stands for long, and then leaves; and where they are."""
    rng = np.random.default_rng(1)
    wall = cv2.resize(rng.integers(40, 200, (8, 12, 3), np.uint8), (WIDTH, HEIGHT))
    frames, masks = np.repeat(wall[None], count, axis=0), np.zeros((count, *SIZE), np.uint8)
    for n in range(count):
        left = 30 if n < stays else min(60, 30 + 10 * (n - stays + 1))
        masks[n, 10:, left : left + 20] = 255
    frames[masks > 0] = (230, 20, 20)
    return frames, masks


def marks_of(folder: Path, frames: np.ndarray, **mattes: np.ndarray) -> Mattes:
    for name, images in mattes.items():
        (folder / name).mkdir()
        for n, image in enumerate(images):
            cv2.imwrite(str(folder / name / f"{n:04d}.png"), image)
    paths = {f"{name}_matte": folder / name for name in mattes}
    settings = Settings(video_src="clip", video_bgr="auto", **paths)
    return open_mattes(settings, MemorySource(frames, "clip"), SIZE, pytest.fail)


@pytest.mark.parametrize("name", ["core", "garbage"])
def test_auto_knows_from_a_matte_where_the_scene_is_free(tmp_path, name):
    frames, masks = walk()
    wall = np.where(masks[0, ..., None] > 0, frames[-1], frames[0])
    alone = AutoPlate(MemorySource(frames, "clip"), print).find()
    assert np.abs(alone.astype(int) - wall)[20:, 34:46].max() > 50, "else this shows nothing"
    around = cv2.dilate(masks.transpose(1, 2, 0), np.ones((9, 9))).transpose(2, 0, 1)
    mattes = marks_of(tmp_path, frames, **{name: masks if name == "core" else around})
    told: list[str] = []
    found = AutoPlate(MemorySource(frames, "clip"), told.append, mattes.marks).find()
    assert np.abs(found.astype(int) - wall)[20:, 34:46].max() <= 8
    assert name == "core" or not told


def test_a_wide_plate_leaves_out_what_a_core_covers(tmp_path):
    frames, masks = walk()
    wall = np.where(masks[0, ..., None] > 0, frames[-1], frames[0])
    marks = np.where(masks > 0, TAKEN, FREE).astype(np.uint8)
    still = [np.eye(3)] * len(frames)
    found = make_mosaic(frames, still, np.eye(3), SIZE, lambda done, total: None, marks)
    assert np.abs(found.image.astype(int) - wall)[20:-4, 34:46].max() <= 8


def test_a_repair_takes_mattes_for_granted(tmp_path):
    frames, masks = walk()
    mattes = marks_of(tmp_path, frames, garbage=masks, core=np.flip(masks, axis=2))
    predictor = Predictor(KnownNetwork(), torch.device("cpu"), warn=pytest.fail)
    clip = MemorySource(frames, "clip")
    bgr = MemorySource(frames[:1], "plate", still=True)
    plate = repaired_plate(clip, bgr, predictor, mattes=mattes, warn=pytest.fail)
    _, alphas = plate._look(frames[::2], range(0, 20, 2), frames[0], lambda done, total: None)
    assert not alphas[masks[::2] == 0].any()
    assert (alphas[(masks[::2] > 0) & (np.flip(masks, axis=2)[::2] > 0)] == 255).all()
