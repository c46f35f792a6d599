"""Bringing the plate to the exposure and white balance of the frame."""

import json

import cv2
import numpy as np
import pytest
import torch
from footage import deepened
from test_align import HEIGHT, WIDTH, Pictures, moved, scene, with_subject

from dataset import SampledFrames
from inference_video import main, matte_video
from pipeline import DeviceFeed, PairLoader
from plate import PlateMatcher
from plate.colour_match import fit_colours

GAIN, OFFSET = np.array([0.75, 0.8, 0.9]), np.array([0.02, 0.0, -0.01])


def lit(picture: np.ndarray, gain=GAIN, offset=OFFSET) -> np.ndarray:
    """The picture (H, W, 3), uint8, in another light."""
    return np.rint(255 * (picture / 255 * gain + offset).clip(0, 1)).astype(np.uint8)


def corrected(plate: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return lit(plate, colour[0], colour[1])


def off(picture: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(picture.astype(int) - wanted).mean())


@pytest.mark.parametrize("share", [0.0, 0.4, 0.6])
def test_the_subject_has_no_say(share):
    plate = scene()
    src = with_subject(lit(plate), share) if share else lit(plate)
    matcher = PlateMatcher()
    colour = matcher.solve(src, plate, None)
    assert colour is not None and colour.shape == (2, 3)
    assert off(corrected(plate, colour), lit(plate)) < 1.0
    assert (matcher.matched, matcher.failed) == (1, 0)
    assert matcher.widest == pytest.approx(0.12, abs=0.02)


def test_a_flat_subject_before_a_flat_wall_has_no_say_either():
    plate = np.full((HEIGHT, WIDTH, 3), (150, 140, 130), np.uint8)
    src = lit(plate)
    src[:, : int(WIDTH * 0.45)] = (60, 90, 40)
    colour = PlateMatcher().solve(src, plate, None)
    assert colour is not None and off(corrected(plate, colour), lit(plate)) < 1.0


def test_16_bits_match_alike():
    plate = scene()
    eight = PlateMatcher().solve(lit(plate), plate, None)
    deep = PlateMatcher().solve(deepened(lit(plate)), plate, None)
    assert eight is not None and deep is not None and off(corrected(plate, deep), lit(plate)) < 1
    np.testing.assert_allclose(eight, deep, atol=1e-2)


def test_nothing_is_fitted_to_what_does_not_agree():
    assert PlateMatcher().solve(np.zeros((HEIGHT, WIDTH, 3), np.uint8), scene(), None) is None
    random = np.random.default_rng(0)
    assert fit_colours(random.random((9000, 3)), random.random((9000, 3))) is None


def test_a_right_plate_is_left_as_it_is():
    plate = scene()
    noise = np.random.default_rng(0).normal(0, 2, plate.shape)
    src = (with_subject(plate) + noise).clip(0, 255).round().astype(np.uint8)
    colour = PlateMatcher().solve(src, plate, None)
    assert colour is not None
    np.testing.assert_allclose(colour, [[1] * 3, [0] * 3], atol=0.01)


def test_noise_is_smoothed_and_a_switched_lamp_is_followed_at_once():
    plate, matcher = scene(), PlateMatcher()
    gains = [1.0, 1.02, 1.0, 1.02, 1.0, 1.02, 0.7, 0.7]
    found = [matcher.solve(lit(plate, np.full(3, g), 0), plate, None) for g in gains]
    means = [float(colour[0].mean() + 2 * colour[1].mean()) for colour in found]
    assert np.ptp(means[2:6]) < 0.012 and means[6] == pytest.approx(0.7, abs=0.01)
    assert matcher.solve(np.zeros_like(plate), plate, None) is found[-1], "held"
    assert matcher.failed == 1


def test_frames_picked_from_a_clip_are_matched_one_by_one():
    plate = scene()

    class Picked(Pictures):
        consecutive = False

    shown = [lit(plate, np.full(3, gain), 0) for gain in (1.0, 1.02, 1.04)]
    with PairLoader(Picked(*shown), Pictures(plate), match=True, warn=pytest.fail) as loader:
        gains = [float(b.colour[0, 0].mean() + 2 * b.colour[0, 1].mean()) for b in loader]
    assert gains == pytest.approx([1.0, 1.02, 1.04], abs=0.004)
    assert not SampledFrames(Pictures(plate), [0]).consecutive


def test_a_moved_plate_is_matched_where_it_lies():
    plate = scene()
    src, matrix = moved(plate, (30, -20), 2)
    with PairLoader(
        Pictures(with_subject(lit(src))),
        Pictures(plate),
        align="frame",
        match=True,
        warn=pytest.fail,
    ) as loader:
        (batch,) = loader
    feed = DeviceFeed(torch.device("cpu"))
    bgr = 255 * feed(batch).bgr[0].permute(1, 2, 0).numpy()
    inside = cv2.warpPerspective(np.ones((HEIGHT, WIDTH)), matrix, (WIDTH, HEIGHT)) > 0.999
    assert np.abs(bgr - lit(src))[inside].mean() < 1.5


def test_without_matching_the_plate_is_untouched():
    with PairLoader(Pictures(lit(scene())), Pictures(scene()), warn=pytest.fail) as loader:
        (batch,) = loader
    assert batch.colour is None and loader.fitter.matcher is None


def test_frames_that_share_nothing_are_told_and_keep_their_plate():
    told: list[str] = []
    dark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    with PairLoader(Pictures(dark), Pictures(scene()), match=True, warn=told.append) as loader:
        (batch,) = loader
    assert len(told) == 1 and "share no colours" in told[0]
    feed = DeviceFeed(torch.device("cpu"))
    assert torch.equal(
        feed(batch).bgr[0].permute(1, 2, 0).mul(255).round().byte(), _tensor(scene())
    )


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture)


def test_end_to_end_a_darker_plate(tmp_path):
    from footage import KnownNetwork

    from writers import MemoryWriter

    for name, picture in (("src.png", scene()), ("bgr.png", lit(scene(), 0.6, 0.0))):
        cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
    means = []
    for match in (False, True):
        err = MemoryWriter()
        result = matte_video(
            video_src=tmp_path / "src.png", video_bgr=tmp_path / "bgr.png", match_plate=match,
            output_types=("err",), network=KnownNetwork(), writers={"err": err}, device="cpu",
        )  # fmt: skip
        means.append(float(err.frames.float().mean()))
    assert means[0] > 20 and means[1] < 2, "the network sees how far apart they are"
    assert result.matching is not None and result.matching["matched"] == 1


def test_the_report_says_what_was_matched(tmp_path, checkpoint):
    for name, picture in (("src.png", scene()), ("bgr.png", lit(scene(), 0.8, 0.0))):
        cv2.imwrite(str(tmp_path / name), cv2.resize(picture, (128, 72))[..., ::-1])
    argv = f"--video-src {tmp_path}/src.png --video-bgr {tmp_path}/bgr.png --match-plate"
    argv += f" --output-dir {tmp_path}/out --model-checkpoint {checkpoint} --output-types pha"
    assert main(argv.split()) == 0
    report = json.loads((tmp_path / "out/run.json").read_text())
    assert report["settings"]["match_plate"] is True
    assert report["matching"]["matched"] == 1 and report["matching"]["unmatched"] == 0
    assert report["matching"]["largest_change"] == pytest.approx(32, abs=3)


@pytest.mark.parametrize("spread", [0.02, 0.05])
def test_a_frame_of_one_colour_keeps_most_of_the_gain(spread):
    """Fog, say: an offset alone would explain it, and wipe out the plate."""
    random = np.random.default_rng(0)
    plate = (0.4 + spread * random.standard_normal((4000, 1))).clip(0.05, 0.95) * np.ones((1, 3))
    fit = fit_colours(np.full((4000, 3), 0.4) + 0.002 * random.standard_normal((4000, 3)), plate)
    assert fit is not None and (fit.gain > 0.65).all()
