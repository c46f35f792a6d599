"""The whole way of a frame, with networks whose answer is known."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import footage
import golden_rule
import numpy as np
import pytest
import torch
from footage import KnownNetwork, make_clip, make_plate, numbered, read_number
from PIL import Image

from dataset import open_source, read_image
from inference_video import MattingResult, UsageError, matte_video
from model import MattingRefine, Predictor, fastest_precision
from writers import FrameWriter, MemoryWriter

KINDS = ("com", "pha", "fgr", "err")


def make_folder(path: Path, count: int, size=footage.SIZE) -> Path:
    """Lossless frames, so that what comes out can be compared to the level."""
    path.mkdir()
    for number in range(count):
        Image.fromarray(numbered(number, size)).save(path / f"{number}.png")
    return path


@pytest.mark.parametrize("size", [footage.SIZE, (51, 99), (50, 98)])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_known_alpha_and_foreground_come_out_exact(tmp_path, size, batch_size):
    make_plate(tmp_path / "plate.png", size)
    result = matte_video(
        video_src=make_folder(tmp_path / "src", 10, size),
        video_bgr=tmp_path / "plate.png",
        output_dir=tmp_path / "out",
        output_types=KINDS,
        output_format="image_sequences",
        image_extension="png",
        batch_size=batch_size,
        network=KnownNetwork(),
    )
    assert result.frames == 10 and result.warnings == []
    for number in range(10):
        src = numbered(number, size)
        name = f"{number:05d}.png"
        com, pha, fgr, err = (
            np.asarray(Image.open(tmp_path / "out" / kind / name)) for kind in KINDS
        )
        np.testing.assert_array_equal(pha, src[..., 0])
        np.testing.assert_array_equal(fgr, 255 - src)
        np.testing.assert_array_equal(com[..., 3], src[..., 0])
        np.testing.assert_array_equal(com[..., :3], (255 - src) * (src[..., :1] > 0))
        np.testing.assert_array_equal(err, np.abs(src[..., 0].astype(int) - 90))


def test_video_composites_over_green_by_default(tmp_path):
    src = make_folder(tmp_path / "src", 6)
    matte_video(
        video_src=src,
        video_bgr=make_plate(tmp_path / "plate.png"),
        output_dir=tmp_path / "out",
        output_types=KINDS,
        frame_rate=Fraction(24000, 1001),
        crf=0,
        network=KnownNetwork(),
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "com.mp4", "err.mp4", "fgr.mp4", "pha.mp4", "preview.png", "run.json",
    ]  # fmt: skip
    frames = list(open_source(tmp_path / "out/com.mp4", pytest.fail))  # with its chroma in place
    assert [frame.time for frame in frames] == [n * Fraction(1001, 24000) for n in range(6)]
    for number, frame in enumerate(frames):
        source = numbered(number).astype(float)
        alpha = source[..., :1] / 255
        wanted = (255 - source) * alpha + np.array([120, 255, 155]) * (1 - alpha)
        smooth = (slice(12, -2), slice(2, -2))  # below the blocks, whose edges 4:2:0 softens
        assert np.abs(frame.image[smooth] - wanted[smooth]).max() < 5


def test_a_background_of_another_rate_is_told_of_and_a_colour_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "shot.mp4", 2, rate=Fraction(24))
    make_plate(tmp_path / "plate.png")
    (tmp_path / "teal").mkdir()  # as --output-dir teal leaves it
    make_plate(tmp_path / "teal/preview.png")
    told = {}
    for name, rate in (("slow.mp4", Fraction(24)), ("fast.mp4", Fraction(60)), ("teal", None)):
        if rate:
            make_clip(tmp_path / name, 4, rate=rate)
        sink = MemoryWriter()
        result = matte_video(
            video_src="shot.mp4",
            video_bgr="plate.png",
            video_target_bgr=name,
            writers={"com": sink},
            network=Transparent(),
            preflight=False,
        )
        told[name] = result.warnings
    assert told["slow.mp4"] == told["teal"] == []
    assert "0.4 times its speed" in told["fast.mp4"][0] and "60" in told["fast.mp4"][0]
    assert (sink.frames.permute(0, 2, 3, 1).numpy() == (0, 128, 128)).all()


@pytest.mark.parametrize("target", ["teal", "0,128,128", "image", "video"])
def test_targets(tmp_path, target):
    given = target
    if target == "image":
        given = tmp_path / "target.png"
        Image.new("RGB", (300, 100), (0, 128, 128)).save(given)
    if target == "video":
        given = make_clip(tmp_path / "target.mp4", 2)
    sink = MemoryWriter()
    matte_video(
        video_src=make_folder(tmp_path / "src", 5),
        video_bgr=make_plate(tmp_path / "plate.png"),
        video_target_bgr=str(given),
        output_format="video",
        writers={"com": sink},
        network=Transparent(),
    )
    frames = sink.frames.permute(0, 2, 3, 1).numpy()
    if target == "video":
        assert [read_number(frame) for frame in frames] == [0, 1, 0, 1, 0]
    else:
        assert (frames == (0, 128, 128)).all()


class Transparent(KnownNetwork):
    def forward(self, src, bgr):
        return super().forward(src, bgr)._replace(pha=src[:, :1] * 0)


def test_a_target_has_no_effect_on_images_and_a_warning_says_so(tmp_path):
    result = run(tmp_path, video_target_bgr="teal", writers={"com": MemoryWriter()})
    assert len(result.warnings) == 1 and "--video-target-bgr has no effect" in result.warnings[0]


def run(tmp_path: Path, count: int = 3, **options) -> MattingResult:
    src = tmp_path / "src"
    defaults = dict(
        video_src=src if src.exists() else make_folder(src, count),
        video_bgr=make_plate(tmp_path / "plate.png"),
        output_dir=tmp_path / "out",
        output_format="image_sequences",
        network=KnownNetwork(),
    )
    return matte_video(**(defaults | options))


def test_run_json_tells_of_the_run(tmp_path):
    result = run(tmp_path, output_types=("com", "pha"), start_number=1001)
    report = json.loads((tmp_path / "out/run.json").read_text())
    assert report["status"] == "done" and report["frames"] == 3 and report["device"] == "cpu"
    assert report["outputs"][2]["path"] == "preview.png"
    assert report["outputs"][0].pop("holds") == {
        "codec": "png", "bits": 8, "transfer": "sRGB", "alpha": "straight",
    }  # fmt: skip
    assert report["outputs"][1].pop("holds")["alpha"] is None
    sources = {
        Path(path).name for o in report["outputs"][:2] for path in o.pop("made_from")["files"]
    }
    assert sources == {"src", "plate.png"}
    named = {"pattern": "#####", "numbers": "1001-1003", "frames": 3}
    assert report["outputs"][:2] == [
        {"kind": "com", "path": "com", "extension": "png", **named},
        {"kind": "pha", "path": "pha", "extension": "jpg", **named},
    ]
    assert set(report["busy"]) == {"read", "network", "write"}
    assert {"bgmv2", "torch", "av"} <= set(report["versions"])
    settings = report["settings"]
    assert settings["output_types"] == ["com", "pha"]
    assert settings["frame_rate"] == "30"
    assert settings["precision"] == fastest_precision(torch.device("cpu"))
    assert report["seconds"] > 0 and report["frames_per_second"] > 0
    assert result.outputs == [tmp_path / "out/com", tmp_path / "out/pha"]
    assert sorted(p.name for p in (tmp_path / "out/com").iterdir())[0] == "01001.png"


def test_a_rate_for_a_clip_that_has_one_is_told_to_have_no_effect(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 2, rate=Fraction(24000, 1001))
    result = run(tmp_path, video_src=clip, frame_rate=25)
    assert len(result.warnings) == 1 and "--frame-rate has no effect" in result.warnings[0]
    settings = json.loads((tmp_path / "out/run.json").read_text())["settings"]
    assert settings["frame_rate"] == "24000/1001"


def test_writers_for_an_unknown_kind_are_refused(tmp_path):
    with pytest.raises(UsageError, match="writers for alpha: expected some of com"):
        run(tmp_path, writers={"alpha": MemoryWriter()})


def test_alignment_is_counted_in_run_json(tmp_path):
    result = run(tmp_path, preprocess_alignment=True)
    report = json.loads((tmp_path / "out/run.json").read_text())
    assert report["alignment"] == {
        "aligned": 0, "unaligned": 3, "largest_uncovered_share": 0.0,
    }  # fmt: skip
    assert len(result.warnings) == 1 and report["warnings"] == result.warnings


def test_progress_may_stop_the_run_and_everything_is_closed(tmp_path):
    def stop_at_two(done: int, expected: int | None) -> None:
        assert expected == 9
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 9, output_types=("com", "pha"), progress=stop_at_two)
    report = json.loads((tmp_path / "out/run.json").read_text())
    assert report["status"] == "stopped" and report["frames"] == 2
    assert [o["frames"] for o in report["outputs"]] == [2, 2, 0], "of com, pha and the preview"
    for kind in ("com", "pha"):
        files = list((tmp_path / "out" / kind).iterdir())
        assert len(files) == 2 and all(read_image(file).shape == (48, 96, 3) for file in files)


def test_own_writers_take_the_place_of_files(tmp_path):
    com, pha = MemoryWriter(), MemoryWriter()
    result = run(tmp_path, output_dir=None, writers={"com": com, "pha": pha})
    assert result.outputs == [] and not (tmp_path / "out").exists()
    assert com.frames.shape == (3, 4, *footage.SIZE) and pha.frames.shape == (3, 1, *footage.SIZE)
    with pytest.raises(ValueError, match="closed"):
        com.add_batch(com.frames)


class Fragile(MemoryWriter):
    """Breaks at its third frame."""

    def add_batch(self, frames):
        super().add_batch(frames)
        if len(self.frames) == 3:
            raise OSError("sink broke")


def test_a_sink_that_fails_ends_the_run_and_the_others_are_closed(tmp_path):
    sinks: dict[str, FrameWriter] = {"com": MemoryWriter(), "pha": Fragile(), "fgr": MemoryWriter()}
    with pytest.raises(OSError, match="sink broke"):
        run(tmp_path, 9, writers=sinks)
    assert [len(sink.frames) for sink in sinks.values()] == [3, 3, 2]
    for sink in sinks.values():
        with pytest.raises(ValueError, match="closed"):
            sink.add_batch(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(output_dir=None), "--output-dir is needed"),
        (dict(image_extension="jpg"), "holds no alpha"),
        (dict(image_extension="gif"), "expected one of png"),
        (dict(output_types=("com", "xyz")), "--output-types xyz"),
        (dict(output_types=()), "--output-types"),
        (dict(output_format="gif"), "--output-format gif"),
        (dict(batch_size=0), "--batch-size 0"),
        (dict(crf=60), "--crf 60"),
        (dict(start_number=-1), "--start-number -1"),
        (dict(frame_rate=0), "--frame-rate 0"),
        (dict(model_backbone_scale=0.7), "--model-backbone-scale 0.7"),
        (dict(video_resize=(0, 5)), "--video-resize"),
        (dict(model_type="mattingbase", output_types=("ref",)), "--output-types ref"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_made(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        run(tmp_path, **options)
    assert not (tmp_path / "out").exists()


def test_sizes_that_are_no_multiple_of_4_are_padded_with_the_edge():
    network = golden_rule.fill(
        MattingRefine("mobilenetv2", refine_mode="full", refine_sample_pixels=10**6)
    )
    matter = Predictor(network, torch.device("cpu"), precision="fp32", warn=pytest.fail)
    src, bgr = (golden_rule.image(name, 1, 99, 130) for name in ("src", "bgr"))
    got = matter(src, bgr)
    with torch.inference_mode():
        pad = (0, 2, 0, 1)
        wanted = network(*(torch.nn.functional.pad(x, pad, "replicate") for x in (src, bgr)))
    torch.testing.assert_close(got.pha, wanted.pha[..., :99, :130], rtol=0, atol=1e-5)
    torch.testing.assert_close(got.fgr, wanted.fgr[..., :99, :130], rtol=0, atol=1e-5)
    assert got.padded_size == (100, 132)


@pytest.mark.parametrize("scale", [0.125, 0.25, 0.5])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_the_smallest_frames_work(scale, size):
    network = golden_rule.fill(MattingRefine("mobilenetv2", backbone_scale=scale))
    matte = Predictor(network, torch.device("cpu"), warn=pytest.fail)(
        torch.rand(1, 3, *size), torch.rand(1, 3, *size)
    )
    assert matte.pha.shape == (1, 1, *size) and matte.pha.isfinite().all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(precision):
    network = golden_rule.fill(MattingRefine("mobilenetv2", refine_mode="full"))
    src, bgr = (golden_rule.image(name, 1, 96, 128) for name in ("src", "bgr"))
    exact, near = (
        Predictor(network, torch.device("cpu"), precision=p, warn=pytest.fail)(src, bgr)
        for p in ("fp32", precision)
    )
    difference = (exact.pha - near.pha).abs().mean()
    assert near.pha.dtype == torch.float32 and 0 < difference < 0.02


class LacksAnOperator(KnownNetwork):
    """Fails wherever it is not on the CPU, as networks do on young devices."""

    def forward(self, src, bgr):
        if src.device.type != "cpu":
            raise NotImplementedError("The operator 'aten::topk' is not implemented here.\nMore.")
        return super().forward(src, bgr)


def test_a_device_that_lacks_an_operator_gives_way_to_the_cpu_with_one_warning(tmp_path):
    told: list[str] = []
    matter = Predictor(LacksAnOperator(), torch.device("meta"), warn=told.append)
    src = torch.rand(2, 3, 8, 8)
    for _ in range(2):
        assert torch.equal(matter(src, src).pha, src[:, :1])
    assert len(told) == 1 and "aten::topk" in told[0] and "More" not in told[0]


def test_refined_patches_are_shown(tmp_path):
    network = golden_rule.fill(MattingRefine("mobilenetv2", refine_sample_pixels=160))
    run(tmp_path, 1, network=network, output_types=("ref", "err"), image_extension="png")
    ref = cv2.imread(str(tmp_path / "out/ref/00000.png"), cv2.IMREAD_UNCHANGED)
    assert sorted(np.unique(ref)) == [0, 255] and (ref == 255).sum() == 160
    assert (ref[::4, ::4].repeat(4, axis=0).repeat(4, axis=1) == ref).all()
