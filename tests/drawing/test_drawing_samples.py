"""The sample generator."""

from typing import Any

import numpy as np
import pytest

import drawing.sample
from drawing import animals, shadows, things
from drawing.animals import draw_pied_animal
from drawing.camera import film
from drawing.canvas import Canvas
from drawing.capture import Sample
from drawing.sample import make_sample
from drawing.things import draw_glossy_thing, draw_lead


@pytest.mark.parametrize("size", [(96, 128), (61, 47)])
def test_samples_are_in_range(size: tuple[int, int]) -> None:
    for index in range(60):
        sample = make_sample(7, index, *size)
        for image in (sample.src, sample.bgr, sample.fgr):
            assert image.shape == (*size, 3) and image.dtype == np.float32
        assert sample.pha.shape == size and sample.pha.dtype == np.float32
        for x in (sample.src, sample.bgr, sample.fgr, sample.pha):
            assert 0 <= x.min() <= x.max() <= 1


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    first = make_sample(7, 3, 64, 64)
    make_sample(7, 4, 64, 64)
    again, other = make_sample(7, 3, 64, 64), make_sample(8, 3, 64, 64)
    np.testing.assert_array_equal(first.src, again.src)
    np.testing.assert_array_equal(first.pha, again.pha)
    assert not np.array_equal(first.src, other.src)


def test_a_clean_sample_equals_its_compositing() -> None:
    found = 0
    for index in range(60):
        sample = make_sample(7, index, 96, 96)
        pha = sample.pha[..., None]
        if sample.clean and 0.05 < pha.mean() < 0.95:
            composed = pha * sample.fgr + (1 - pha) * sample.bgr
            assert np.abs(composed - sample.src).mean() < 0.03
            found += 1
    assert found > 5


def test_the_share_of_clean_samples() -> None:
    def clean(share: float) -> int:
        return sum(make_sample(7, index, 48, 64, plain=0, clean=share).clean for index in range(20))

    assert clean(0) == 0 < clean(0.4) < clean(0.8) < 20 == clean(1)


def test_parts_of_a_subject_may_look_like_what_is_behind_them(monkeypatch) -> None:
    monkeypatch.setattr(drawing.sample, "DIM_SHARE", 0)
    touched = 0
    for index in range(40):
        before = make_sample(7, index, 96, 96)
        after = make_sample(7, index, 96, 96, alike=1)
        np.testing.assert_array_equal(after.pha, before.pha)
        np.testing.assert_array_equal(after.bgr, before.bgr)
        near, far = (np.abs(x.src - x.bgr)[x.pha > 0.9].sum() for x in (after, before))
        touched += near < 0.95 * far
        if not before.pha.any():
            np.testing.assert_array_equal(after.src, before.src)
    assert touched > 10


def test_subjects_like_what_is_behind_them_may_stand_in_the_dark(monkeypatch) -> None:
    def plates(dim: float) -> list[float]:
        monkeypatch.setattr(drawing.sample, "DIM_SHARE", dim)
        return [float(make_sample(7, i, 64, 64, plain=0, alike=1).bgr.mean()) for i in range(20)]

    for dark, bright in zip(plates(1), plates(0), strict=True):
        assert dark < 0.55 * bright


def test_an_additional_shadow_falls_only_on_the_scene(monkeypatch) -> None:
    monkeypatch.setattr(drawing.sample, "DARK_SHARE", 0)
    touched = 0
    for index in range(40):
        before = make_sample(7, index, 96, 96, plain=0)
        after = make_sample(7, index, 96, 96, plain=0, shaded=1, ground=0)
        np.testing.assert_array_equal(after.pha, before.pha)
        np.testing.assert_array_equal(after.bgr, before.bgr)
        if before.clean or not before.pha.any():
            np.testing.assert_array_equal(after.src, before.src)
            continue
        darker = (before.src - after.src).mean(axis=2)
        assert darker.min() > -0.2  # the encoder's error
        touched += (darker > 0.02).mean() > 0.01
        if (solid := before.pha == 1).any():
            assert np.abs(darker[solid]).mean() < 0.01
    assert touched > 10


def test_a_shadow_falls_on_a_plain_wall_too(monkeypatch) -> None:
    def samples() -> list[Sample]:
        return [make_sample(7, index, 96, 96, plain=1, shaded=1) for index in range(30)]

    dimmed = samples()
    monkeypatch.setattr(shadows, "near_shadow", lambda rng, alpha: np.ones((96, 96, 3), np.float32))
    darker = [lit.src - dim.src for lit, dim in zip(samples(), dimmed, strict=True)]
    assert not any(sample.clean for sample in dimmed)
    assert sum((change.mean(axis=2) > 0.02).mean() > 0.01 for change in darker) > 10


def test_pale_ground_is_darker_near_a_subject(monkeypatch) -> None:
    def samples() -> list[Sample]:
        return [make_sample(7, index, 96, 96, plain=0, shaded=1, ground=1) for index in range(30)]

    dimmed = samples()
    shadow = shadows.near_shadow  # still called, so that later draws stay the same
    monkeypatch.setattr(shadows, "near_shadow", lambda *of: np.ones_like(shadow(*of)))
    darker = 0
    for lit, dim in zip(samples(), dimmed, strict=True):
        free = dim.pha == 0
        assert not free.any() or np.median(lit.src[free]) > 0.5
        darker += (np.abs(lit.src - dim.src)[free].max(axis=1, initial=0) > 0.02).mean() > 0.01
    assert darker > 12


def test_glossy_things_stand_in_dark_places(monkeypatch) -> None:
    def samples() -> list[Sample]:
        return [make_sample(7, index, 96, 96, plain=0, shaded=1, ground=0) for index in range(20)]

    monkeypatch.setattr(drawing.sample, "DARK_SHARE", 1)
    dark = samples()
    assert all(np.median(sample.bgr) < 0.4 and not sample.clean for sample in dark)
    assert sum(bool((sample.pha == 1).any()) for sample in dark) > 10
    monkeypatch.setattr(drawing.sample, "draw_glossy_thing", lambda *of: None)
    without = samples()
    assert sum(a.pha.sum() > b.pha.sum() for a, b in zip(dark, without, strict=True)) > 10


def test_a_glossy_thing_is_black_except_for_highlights() -> None:
    shine = []
    for index in range(20):
        canvas = Canvas(96, 128)
        draw_glossy_thing(np.random.default_rng([7, index]), canvas)
        if (solid := canvas.alpha == 1).any():
            light = canvas.colour.max(axis=2)[solid]
            assert light.min() <= 0.15
            shine.append(light.max() > 0.25)
    assert 5 < sum(shine) < len(shine)


def test_the_legs_of_a_pied_animal_are_as_pale_as_the_ground_and_may_move(monkeypatch) -> None:
    ground = np.array([0.8, 0.75, 0.6])

    def draw() -> list[Canvas]:
        canvases = [Canvas(144, 256) for _ in range(20)]
        for index, canvas in enumerate(canvases):
            draw_pied_animal(np.random.default_rng([7, index]), canvas, ground, least=0.1)
        return canvases

    moving = draw()
    kernel = animals.motion_kernel

    def still(*of: Any) -> np.ndarray:
        kernel(*of)  # so that later draws stay the same
        return np.ones((1, 1), np.float32)

    monkeypatch.setattr(animals, "motion_kernel", still)
    alike = pied = soft = 0
    for canvas, quiet in zip(moving, draw(), strict=True):
        solid = canvas.alpha > 0.99
        hue = canvas.colour[solid] / canvas.colour[solid].sum(axis=1, keepdims=True)
        same = np.abs(hue - ground / ground.sum()).max(axis=1) < 0.03
        alike += same.mean() > 0.2
        pied += not same.all()
        partial = [((x.alpha > 0.05) & (x.alpha < 0.95)).sum() for x in (canvas, quiet)]
        soft += partial[0] > 1.1 * partial[1]
    assert alike > 10 and pied > 10 and 4 < soft < 16


def test_a_pied_animal_stands_on_four_legs(monkeypatch) -> None:
    shapes = []
    cover = Canvas.limb

    def seen(canvas: Canvas, joints: np.ndarray, radii: list[float]) -> np.ndarray:
        shapes.append(np.asarray(joints))
        return cover(canvas, joints, radii)

    monkeypatch.setattr(Canvas, "limb", seen)
    for index in range(10):
        shapes.clear()
        draw_pied_animal(np.random.default_rng([7, index]), Canvas(96, 128), np.ones(3), least=0.1)
        trunk, legs = shapes[0], shapes[-4:]
        length = np.linalg.norm(trunk[-1] - trunk[0])
        assert all(leg[-1][1] > trunk[:, 1].max() + 0.2 * length for leg in legs)


def test_a_lead_may_swing(monkeypatch) -> None:
    def leads() -> list[np.ndarray]:
        canvases = []
        for index in range(20):
            canvas = Canvas(96, 128)
            square = np.array([(50, 20), (70, 20), (70, 60), (50, 60)])
            canvas.paint(canvas.polygon(square), np.zeros(3))
            draw_lead(np.random.default_rng([7, index]), canvas)
            canvases.append(canvas.alpha)
        return canvases

    swinging = leads()
    monkeypatch.setattr(things, "motion_kernel", lambda *of: np.ones((1, 1), np.float32))
    assert 2 < sum(not np.array_equal(x, y) for x, y in zip(swinging, leads(), strict=True)) < 12


def test_a_lead_hangs_on_its_subject_and_lies_on_the_ground() -> None:
    found = 0
    for index in range(20):
        rng, canvas = np.random.default_rng([7, index]), Canvas(96, 128)
        draw_lead(rng, canvas)
        assert not canvas.alpha.any(), "there is no subject"
        canvas.paint(
            canvas.polygon(np.array([(50, 20), (70, 20), (70, 60), (50, 60)])), np.zeros(3)
        )
        before = canvas.alpha.copy()
        draw_lead(rng, canvas)
        found += (canvas.alpha - before)[55:].sum() > 2
    assert found > 10


def test_subjects_are_as_varied_as_scenes() -> None:
    cover = np.array([make_sample(7, index, 64, 64).pha.mean() for index in range(150)])
    assert 0.03 < (cover == 0).mean() < 0.3
    assert (cover > 0.4).mean() > 0.05
    assert ((cover > 0.01) & (cover < 0.3)).mean() > 0.3


@pytest.mark.parametrize("moved", [None, (1, -2)])
def test_film_damages_an_image_a_little(moved: tuple[int, int] | None) -> None:
    image = (255 * make_sample(7, 3, 61, 95).src).astype(np.uint8)
    good, bad = (
        np.abs(film(image, crf=crf, moved=moved).astype(float) - image).mean() for crf in (15, 40)
    )
    assert 0 < good < bad < 20 and good < 6


def test_filmed_samples_carry_what_the_encoder_leaves_near_the_subject() -> None:
    near, far = [], []
    for index in range(12):
        sample = make_sample(7, index, 96, 128, plain=0, filmed=1)
        again = make_sample(7, index, 96, 128, plain=0, filmed=1)
        np.testing.assert_array_equal(sample.src, again.src)
        np.testing.assert_array_equal(sample.bgr, again.bgr)
        assert not sample.clean
        for image in (sample.src, sample.bgr, sample.fgr, sample.pha):
            assert image.dtype == np.float32 and 0 <= image.min() <= image.max() <= 1
        pha = sample.pha[..., None]
        if 0.05 < pha.mean() < 0.8:
            wrong = np.abs(pha * sample.fgr + (1 - pha) * sample.bgr - sample.src).mean(axis=2)
            edge = (sample.pha > 0.1) & (sample.pha < 0.9)
            near.append(wrong[edge].mean())
            far.append(wrong[sample.pha == 0].mean())
    assert len(near) > 4 and np.mean(near) > 1.2 * np.mean(far)
    plain = make_sample(7, 0, 96, 128, plain=0)
    np.testing.assert_array_equal(make_sample(7, 0, 96, 128, plain=0, filmed=0).src, plain.src)
