"""Windows where the base errs: what the refiner learns from, cut out ahead of its training.

Most pixels of a frame never reach the refiner, and a frame is a single scene. A window is what it
works on; it holds what the base sees there, so that a step needs no pass of the base, and dozens of
scenes fit into a batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model import MattingRefine
from model.patches import sample_patches
from model.refiner import resize

from .ahead import Pool, SamplePool, write_ahead
from .data import Batch, to_tensors
from .network import Prediction, clamp
from .sample import make_sample
from .spoil import spoilt

#: Side of a window in pixels, and in the 4x4 patches that the refiner chooses.
SIDE, PATCHES = 64, 16
#: Pixels that a window holds beyond its sides: of the pictures; of the base's features.
_AROUND, _FEATURES_AROUND = 6, 4
#: Side of a sample that holds a window wherever the grid of windows begins.
LEAST_SIDE = 4 * (2 * PATCHES - 1 + _FEATURES_AROUND)
#: Height and width of samples; hair is as thin in small ones, and they are drawn faster.
SIZES = ((360, 640), (432, 576), (320, 512), (480, 640), (576, 1024), (720, 1280))
#: How large the base may see the frames that windows are cut of, relative to them.
SCALES = (0.25, 0.5)
#: The share of a sample that is refined: that of 80,000 pixels in 1024x576.
_REFINED = 80_000 / (1024 * 576)


def cut_windows(
    network: MattingRefine, sample: Batch, count: int, rng: np.random.Generator
) -> list[Batch]:
    """Cut up to ``count`` windows out of a sample, the likelier the more of them is refined.

    Args:
        network: Its base decides; in evaluation mode.
        sample: ``src bgr fgr`` (3, H, W) and ``pha`` (1, H, W), uint8, in multiples of 4.
        count: Windows at most; those of which next to nothing is refined are left out.
        rng: Shifts the grid of windows, and draws from it.

    Returns:
        Of each window, ``src`` and ``bgr`` (3, 76, 76), ``fgr`` (3, 64, 64), ``pha`` (1, 64, 64)
        and ``ref`` (1, 16, 16), 1 where the network refines, uint8; and ``features``
        (C, 24, 24), float16, what the last layer of the base reads; (C, 40, 40) where the base
        sees half of the frame instead of a quarter.
    """
    src, bgr = (sample[name][None].float() / 255 for name in ("src", "bgr"))
    with features_of(network) as seen, torch.inference_mode():
        err = network(src, bgr).err_sm
    places, windows = choose_windows(sample, err, count, rng)
    if not windows:
        return []
    scale = network.backbone_scale
    features = cut_features(seen[0].half(), [(0, *place) for place in places], scale)
    return [
        {name: part.clone() for name, part in {**window, "features": seen_there}.items()}
        for window, seen_there in zip(windows, features, strict=True)
    ]


@contextmanager
def features_of(network: MattingRefine) -> Iterator[list[Tensor]]:
    """What the last layer of the base reads, (B, C, H, W), of each pass within the context."""
    seen: list[Tensor] = []
    with network.decoder.conv4.register_forward_pre_hook(lambda _, x: seen.append(x[0])):
        yield seen


def choose_windows(
    sample: Batch, err: Tensor, count: int, rng: np.random.Generator
) -> tuple[list[tuple[int, int]], list[Batch]]:
    """The windows of :func:`cut_windows` but for ``features``.

    Args:
        sample, count, rng: As in :func:`cut_windows`.
        err: (1, 1, h, w), where the base expects errors.

    Returns:
        The row and column of each window at 1/4, and the windows, as views of ``sample``.
    """
    height, width = sample["src"].shape[1:]
    err = resize(err, height // 4, width // 4)
    ref = sample_patches(err, round(_REFINED * height * width) // 16)[0].byte()
    top, left = rng.integers(_FEATURES_AROUND, PATCHES, 2).tolist()
    ends = (length // 4 - PATCHES - _FEATURES_AROUND + 1 for length in (height, width))
    rows, columns = map(range, (top, left), ends, (PATCHES, PATCHES))
    places = [(y, x) for y in rows for x in columns]
    refined = np.array([_part(ref, y, x, PATCHES).sum().item() for y, x in places], dtype=float)
    refined[refined < 6] = 0
    count = min(count, int(np.count_nonzero(refined)))
    if not count:
        return [], []
    picked = rng.choice(len(places), count, replace=False, p=refined / refined.sum())
    places = [places[index] for index in picked]
    windows = []
    for y, x in places:
        window = {name: _part(sample[name], 4 * y, 4 * x, SIDE, _AROUND) for name in ("src", "bgr")}
        window |= {name: _part(sample[name], 4 * y, 4 * x, SIDE) for name in ("fgr", "pha")}
        window["ref"] = _part(ref, y, x, PATCHES)
        windows.append(window)
    return places, windows


def cut_features(
    features: Tensor, places: list[tuple[int, int, int]], scale: float = 0.25
) -> Tensor:
    """What windows hold of ``features`` (B, C, h, w): (N, C, 24, 24), or (N, C, 40, 40) at 1/2.

    Args:
        features: As :func:`features_of` has them.
        places: The sample, row and column at 1/4 of each window, (N, 3).
        scale: The size of what the base sees, relative to the frame: 0.25 or 0.5.

    Raises:
        ValueError: It is another.
    """
    if scale not in SCALES:
        raise ValueError(f"backbone scale {scale}: windows are cut at 0.25 or 0.5")
    finer = round(4 * scale)
    around = torch.arange(-_FEATURES_AROUND, finer * PATCHES + _FEATURES_AROUND)
    sample, row, column = torch.tensor(places)[..., None, None].unbind(1)
    row, column = finer * row, finer * column
    # all at once: the gradient of a slice is as large as what it was cut from
    cut = features.permute(0, 2, 3, 1)[sample, row + around[:, None], column + around]
    return cut.permute(0, 3, 1, 2)


def _part(x: Tensor, row: int, column: int, side: int, around: int = 0) -> Tensor:
    return x[
        :,
        row - around : row + side + around,
        column - around : column + side + around,
    ]


def write_windows(
    network: MattingRefine,
    folder: Path,
    *,
    seed: int,
    first: int,
    samples: int,
    alike: float = 0,
    shaded: float = 0,
    drawn: SamplePool | None = None,
) -> Iterator[int]:
    """Save windows of samples; see :func:`write_ahead` for what is not said here.

    Args:
        network: As in :func:`cut_windows`.
        folder, seed, first, samples: As in :func:`write_ahead`.
        alike, shaded: As in :func:`make_sample`.
        drawn: Samples that were drawn ahead, which are taken instead of new ones.

    Raises:
        ValueError: As many were not drawn, or new ones were described beside those.
    """
    if drawn is not None and first + samples > len(drawn):
        raise ValueError(f"{len(drawn)} samples were drawn ahead, not {first + samples}")
    if drawn is not None and (alike or shaded):
        raise ValueError("--alike and --shaded were said when the samples were drawn ahead")

    def draw(index: int) -> list[Batch]:
        rng = np.random.default_rng([seed, index, 3])
        if drawn is not None:
            short, painted = (np.random.default_rng([seed, index, use]) for use in (7, 9))
            sample = spoilt(short, painted, drawn[index])
        else:
            height, width = SIZES[rng.integers(len(SIZES))]
            sample = to_tensors(make_sample(seed, index, height, width, alike=alike, shaded=shaded))
        return cut_windows(network, sample, max(4, sample["pha"].numel() // 65_000), rng)

    return write_ahead(folder, draw, seed=seed, first=first, samples=samples)


class WindowPool(Pool):
    """Windows that were cut ahead."""

    _holds = frozenset(("src", "bgr", "fgr", "pha", "ref", "features"))

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """The ``count`` windows of step ``step``: float32, the pictures and ``ref`` in [0, 1]."""
        batch = stacked(self.pick(np.random.default_rng([seed, step, 4]), count))
        pictures = ("src", "bgr", "fgr", "pha")
        return {name: x / 255 if name in pictures else x for name, x in batch.items()}


def stacked(windows: list[Batch]) -> Batch:
    """Windows as a batch, float32."""
    return {
        name: torch.stack([x[name] for x in windows])
        .float()
        .contiguous(memory_format=torch.channels_last)
        for name in windows[0]
    }


def refine_windows(network: MattingRefine, windows: Batch) -> Prediction:
    """What ``network`` makes of ``windows``: (B, C, 64, 64), the error aside, which is 0.

    The same as in whole frames: convolutions without padding use the margins up.
    """
    refiner, decoder = network.refiner, network.decoder
    decoded = F.conv2d(windows["features"], decoder.conv4.weight, decoder.conv4.bias)
    pha, res, _, hid = decoded.split([1, 3, 1, 32], dim=1)
    coarse = torch.cat([hid.relu(), clamp(pha), res], dim=1)
    pair = torch.cat([windows["src"], windows["bgr"]], dim=1)
    if coarse.shape[3] < pair.shape[3] // 2:  # the base saw a quarter
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")[..., 3:-3, 3:-3]
    context = torch.cat([coarse, F.avg_pool2d(pair, 2)], dim=1)
    x = F.interpolate(refiner._first_half(context), scale_factor=2.0, mode="nearest")
    y = refiner._second_half(torch.cat([x, pair[..., 4:-4, 4:-4]], dim=1))
    src = windows["src"][..., _AROUND:-_AROUND, _AROUND:-_AROUND]
    pha = clamp(y[:, :1])
    return Prediction(pha, clamp(y[:, 1:] + src), torch.zeros_like(pha))
