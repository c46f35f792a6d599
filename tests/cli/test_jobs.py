"""Several clips from one list."""

import json

import pytest
from footage import make_clip, read_video
from runs import run

from cli.jobs import read_jobs
from inference_video import MattingError, UsageError
from model import checkpoint as checkpoints


def job_list(folder, text, name="jobs.csv"):
    (folder / name).write_text(text)
    return folder / name


COMMON = {"video_src": None, "video_bgr": "plate.png", "output_dir": None, "crf": 18}


def test_a_clip_that_fails_does_not_stop_the_others(folder):
    make_clip(folder / "b.mp4", 3)
    job_list(folder, "video-src,output-dir\nclip.mp4,a\nmissing.mp4,x\nb.mp4,b\n")
    result = run(folder, "--jobs", "jobs.csv", output_format="video", output_dir="unused")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert lines[0] == "job 1 of 3, clip.mp4" and lines[-2] == "2 of 3 jobs are done"
    assert any(line.startswith("error: missing.mp4: not found") for line in lines)
    assert lines[-1] == "error: failed: job 2 of 3, missing.mp4"
    assert [len(read_video(folder / f"{name}/com.mp4")[0]) for name in "ab"] == [5, 3]
    assert not (folder / "x").exists() and not (folder / "unused").exists()


def test_the_network_is_loaded_once(folder, monkeypatch):
    from pipeline import Networks, matte_video

    loaded = []
    monkeypatch.setattr(
        "pipeline.inputs.load_network", lambda *a, **k: loaded.append(a) or load(*a, **k)
    )
    load, networks = checkpoints.load_network, Networks()
    flags = dict(video_src=folder / "clip.mp4", video_bgr=folder / "plate.png", device="cpu")
    flags |= dict(networks=networks, output_format="image_sequences", preflight=False)
    reports = []
    for out, more in (("a", {}), ("b", {}), ("c", {"model_checkpoint": folder / "half.pth"})):
        matte_video(output_dir=folder / out, **flags, **more)
        reports.append(json.loads((folder / out / "run.json").read_text())["settings"])
    assert len(loaded) == 2
    assert reports[0]["model_backbone"] == reports[1]["model_backbone"] is not None


def test_values_of_a_list_are_those_of_flags(tmp_path):
    csv = "--video-src, output_dir, frames, output-types, smooth-alpha, crf, preprocess-alignment\n"
    csv += '"a, b.mp4", one, "1-5,9", com pha, yes, , true\n\nc.mp4, two, , , no, 3, static\n'
    first, second = read_jobs(job_list(tmp_path, csv), COMMON)
    assert (first["video_src"], first["output_dir"], first["crf"]) == ("a, b.mp4", "one", 18)
    assert first["frames"].text == "1-5,9" and first["output_types"] == ["com", "pha"]
    assert (first["smooth_alpha"], first["preprocess_alignment"]) == (True, True)
    assert (second["smooth_alpha"], second["preprocess_alignment"]) == (False, "static")
    assert "frames" not in second and second["crf"] == 3
    rows = [{"video-src": "a.mp4", "output_dir": "one", "video_resize": [64, 32], "crf": None}]
    (job,) = read_jobs(job_list(tmp_path, json.dumps(rows), "jobs.json"), COMMON)
    assert (job["video_resize"], job["crf"], job["video_bgr"]) == ([64, 32], 18, "plate.png")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds 0 jobs"),
        ("video-src,output-dir\n", "holds 0 jobs"),
        ("video-src,output-dir\na.mp4\n", "more or fewer cells"),
        ("video-src,output-dir\na.mp4,one,two\n", "more or fewer cells"),
        ("video-src,colour\na.mp4,red\n", "'colour' is no setting"),
        ("video-src\na.mp4\n", "--output-dir is needed"),
        ("output-dir\none\n", "--video-src is needed"),
        ("video-src,output-dir,crf\na.mp4,one,99\n", "job 1: --crf 99"),
        ("video-src,output-dir,crf\na.mp4,one,1\nb.mp4,two,x\n", "job 2: --crf x"),
        ("video-src,output-dir,frames\na.mp4,one,9-1\n", "job 1: --frames 9-1"),
        ('[{"video_src": 3, "output_dir": "one"}]', "job 1: --video-src 3"),
        ('[{"video_src": ["a"], "output_dir": "one"}]', "job 1: --video-src a"),
        ('[["a"]]', "JSON list of objects"),
        ('{"video_src": "a"}', "JSON list of objects"),
        ("[" * 100_000, "JSON list of objects"),
        ("\x00\x01", "jobs"),
    ],
)
def test_a_wrong_list_is_refused_before_anything_runs(tmp_path, text, told):
    with pytest.raises(UsageError, match=told):
        read_jobs(job_list(tmp_path, text), COMMON)


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(MattingError, match=r"none\.csv: No such file"):
        read_jobs(tmp_path / "none.csv", COMMON)
    (tmp_path / "jobs.csv").write_bytes(b"\xff\xfe" * 99)
    with pytest.raises(UsageError, match="neither CSV with"):
        read_jobs(tmp_path / "jobs.csv", COMMON)
    with open(tmp_path / "jobs.csv", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        read_jobs(tmp_path / "jobs.csv", COMMON)
