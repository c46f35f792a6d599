"""Settings: declared once, and everything else follows from the declarations."""

import inspect
from dataclasses import MISSING, fields
from fractions import Fraction
from pathlib import Path
from typing import get_type_hints

import mypy.api
import numpy as np
import pytest
from conftest import ROOT

from cli.flags import read_flags
from inference_video import matte_video
from media import MattingError, UsageError
from pipeline import MattingResult, Settings
from pipeline.settings import as_dict, declared_settings
from writers import FORMATS

NEEDED = {"video_src": "clip.mp4", "video_bgr": "plate.png"}


def settings(**flags) -> Settings:
    return Settings(**{**NEEDED, **flags})


def test_every_field_is_declared_with_a_help_text():
    assert list(declared_settings(Settings)) == [f.name for f in fields(Settings)]
    for setting in declared_settings(Settings).values():
        assert (setting.flag.help and setting.expected != "") or setting.is_switch, setting.name


def test_the_command_line_and_the_settings_have_the_same_defaults():
    flags = [part for name, value in NEEDED.items() for part in (f"--{name}", value)]
    argv = [part.replace("_", "-") for part in flags]
    args = vars(read_flags([*argv, "--output-dir", "out"], version="0"))
    alone = [args.pop(name) for name in ("debug", "progress_form", "jobs")]
    assert alone == [False, "auto", None]
    assert Settings(**args) == settings(output_dir="out")


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("crf", 52, "0 to 51"),
        ("crf", True, "0 to 51"),
        ("crf", "18", "0 to 51"),
        ("batch_size", 0, "1 or more"),
        ("start_number", 0.5, "0 or more"),
        ("despeckle", -1, "0 to 100 percent of the frame"),
        ("model_backbone_scale", 0.51, "more than 0, up to 0.5"),
        ("model_refine_threshold", float("nan"), "a number"),
        ("model_refine_kernel_size", 2, "one of 1, 3"),
        ("video_resize", (4,), "WIDTH HEIGHT"),
        ("video_resize", (4, 0), "WIDTH HEIGHT"),
        ("video_resize", "48", "WIDTH HEIGHT"),
        ("frame_rate", "fast", "0.001 to 1000"),
        ("frame_rate", 0, "0.001 to 1000"),
        ("output_types", "com", "some of com, pha, fgr, err, ref"),
        ("output_types", (), "some of com, pha, fgr, err, ref"),
        ("output_format", "mp4", "one of video, prores4444, webm"),
        ("image_extension", "gif", "one of png, tif, exr, webp, jpg, jpeg"),
        ("preprocess_alignment", "tripod", "one of frame, static"),
        ("bit_depth", 12, "one of 8, 16, half, float"),
        ("device", "gpu", "auto, cpu, mps, cuda or cuda:N"),
        ("video_bgr", 3, "CLIP@TIME"),
        ("match_plate", "yes", ""),
    ],
)
def test_a_value_that_does_not_fit_names_the_flag_and_what_does(name, value, expected):
    with pytest.raises(UsageError) as raised:
        settings(**{name: value})
    assert str(raised.value).startswith(f"--{name.replace('_', '-')} ")
    assert expected in str(raised.value)
    assert isinstance(raised.value, MattingError) and isinstance(raised.value, ValueError)


@pytest.mark.parametrize("name", ["video_src", "garbage_matte", "model_checkpoint", "output_dir"])
def test_an_empty_path_is_not_the_current_folder(name):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} is empty"):
        settings(**{name: ""})


def test_numbers_of_a_choice_are_of_its_type():
    given = settings(bit_depth=np.int64(16), output_format="image_sequences")
    assert type(given.bit_depth) is int
    for name, value in (("bit_depth", 8.0), ("model_refine_kernel_size", True)):
        with pytest.raises(UsageError, match="expected one of"):
            settings(**{name: value})


def test_a_path_that_cannot_be_looked_at_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for name in ("video_src", "video_bgr", "output_dir", "video_target_bgr"):
        for path, reason in ((tmp_path / "loop", "symbolic links"), ("x" * 300, "too long")):
            with pytest.raises(MattingError, match=reason):
                settings(**{name: path})
        with pytest.raises(UsageError, match="null byte"):
            settings(**{name: "a\0b"})


def test_values_are_brought_to_one_form():
    given = settings(
        crf=np.int64(3),
        video_resize=np.array([96, 48]),
        frame_rate="24000/1001",
        despeckle=True,
        preprocess_alignment=True,
        output_types=["com", "pha"],
    )
    assert type(given.crf) is int and given.video_resize == (96, 48)
    assert given.frame_rate == Fraction(24000, 1001)
    assert given.despeckle == 0.1 and given.align == "frame"
    assert given.output_types == ("com", "pha")
    assert settings().align is None and settings().despeckle is False
    assert settings(preprocess_alignment="static").align == "static"


def test_what_a_run_reads_is_what_the_declarations_say():
    named = {name: Path(f"{name}.x") for name in Settings.file_settings()}
    given = settings(**named)
    assert sorted(given.files_read()) == sorted(named.values())
    assert set(named) >= {"video_src", "video_bgr", "garbage_matte", "model_checkpoint"}
    assert settings(video_bgr="clip.mp4@2.5").file_of("video_bgr") == Path("clip.mp4")
    assert settings(video_bgr="auto").file_of("video_bgr") is None


def test_flags_without_effect_in_a_format_are_named():
    assert settings(crf=3, start_number=0).flags_without_effect() == []
    images = {"output_format": "image_sequences"}
    assert settings(crf=3, start_number=4, hwaccel="auto", **images).flags_without_effect() == [
        "--crf"
    ]
    given = settings(crf=3, image_extension="png", start_number=4)
    assert given.flags_without_effect() == ["--image-extension"]


def test_every_option_of_a_format_is_a_setting():
    names = set(declared_settings(Settings))
    assert all(names >= set(form.options) for form in FORMATS.values())


def test_16_bits_make_every_kind_a_png_and_are_refused_where_a_format_has_8():
    images = {"output_format": "image_sequences", "bit_depth": 16}
    given = settings(output_types=("com", "pha"), **images)
    assert [given.format_of(kind).name for kind in given.output_types] == ["png", "png"]
    with pytest.raises(UsageError, match=r"--bit-depth 16: jpg holds 8 bits; use .* png"):
        settings(output_types=("pha",), image_extension="jpg", **images)
    with pytest.raises(UsageError, match="--bit-depth 16: video holds 8 bits"):
        settings(bit_depth=16)


def test_the_call_has_every_setting_as_a_typed_keyword():
    parameters = inspect.signature(matte_video).parameters
    hints = get_type_hints(Settings)
    for field in fields(Settings):
        parameter = parameters[field.name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.annotation == hints[field.name]
        is_required = field.default is MISSING
        assert parameter.default == (inspect.Parameter.empty if is_required else field.default)
    besides = {"network", "networks", "writers", "progress", "preparing"}
    assert set(parameters) - set(as_dict(settings())) == besides
    assert inspect.signature(matte_video).return_annotation is MattingResult
    assert "every flag" in inspect.getdoc(matte_video).lower()


CALLS = """
from inference_video import matte_video
matte_video(video_src="a", video_bgr="b", output_dir="c", crf=3, output_types=["com", "pha"])
matte_video(video_src="a", video_bgr="b", crff=3)
matte_video(video_src="a", video_bgr="b", crf="3")
matte_video(video_src="a", video_bgr="b", output_types=["alpha"])
matte_video(video_src="a")
"""


def test_a_type_checker_refuses_wrong_keywords(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "calls.py").write_text(CALLS)
    text, _, status = mypy.api.run([str(tmp_path / "calls.py"), "--hide-error-context"])
    wrong = sorted({int(line.split(":")[1]) for line in text.splitlines() if ": error:" in line})
    assert status == 1 and wrong == [4, 5, 6, 7], text
