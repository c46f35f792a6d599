"""Windows of samples where the base errs, cut ahead of the refiner's training.

Most pixels of a frame never reach the refiner, and a frame is a single scene. A window is a small
part that does. It holds the base's features, so that a step needs no pass of the base, and a batch
can hold dozens of scenes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drawing.plate_defects import with_defects
from drawing.sample import make_sample
from model import MattingRefine
from model.patches import sample_patches
from model.refiner import resize

from .data import Batch, to_tensors
from .network import Prediction, clamp
from .pools import Pool, write_pool
from .sample_pool import SamplePool

#: Side of a window in pixels, and in the refiner's 4x4 patches.
SIDE, PATCHES = 64, 16
#: Margin of a window on each side, in pixels of the images and of the base's features.
_MARGIN, _FEATURE_MARGIN = 6, 4
#: Minimum side of a sample: it holds a window at every offset of the grid.
MIN_SAMPLE_SIDE = 4 * (2 * PATCHES - 1 + _FEATURE_MARGIN)
#: Height and width of samples. Hair is as thin in the small ones, which are drawn faster.
SAMPLE_SIZES = ((360, 640), (432, 576), (320, 512), (480, 640), (576, 1024), (720, 1280))
#: Backbone scales that windows can be cut at.
SCALES = (0.25, 0.375, 0.5)
#: Share of a sample that is refined: 80,000 pixels of 1024x576.
_REFINED_SHARE = 80_000 / (1024 * 576)


def cut_windows(
    network: MattingRefine, sample: Batch, count: int, rng: np.random.Generator
) -> list[Batch]:
    """Cut up to ``count`` windows out of a sample, with probability by the share that is refined.

    Args:
        network: Its base decides; in evaluation mode.
        sample: ``src bgr fgr`` (3, H, W) and ``pha`` (1, H, W), uint8; H and W multiples of 4.
        count: Maximum number of windows; those with fewer than 6 refined patches are skipped.
        rng: Shifts the grid of windows, and picks from it.

    Returns:
        Of each window: ``src`` and ``bgr`` (3, 76, 76), ``fgr`` (3, 64, 64), ``pha`` (1, 64, 64)
        and ``ref`` (1, 16, 16), 1 where the network refines, uint8; ``features``, float16, the
        input of the base's last layer: (C, 24, 24) at a backbone scale of 1/4, (C, 32, 32) at 3/8,
        (C, 40, 40) at 1/2.
    """
    src, bgr = (sample[name][None].float() / 255 for name in ("src", "bgr"))
    with features_of(network) as seen, torch.inference_mode():
        _, err = network.look(network._shrink(src), network._shrink(bgr))
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
    """The input (B, C, H, W) of the base's last layer, appended by each pass in the context."""
    seen: list[Tensor] = []
    with network.decoder.conv4.register_forward_pre_hook(lambda _, x: seen.append(x[0])):
        yield seen


def choose_windows(
    sample: Batch, err: Tensor, count: int, rng: np.random.Generator
) -> tuple[list[tuple[int, int]], list[Batch]]:
    """The windows of :func:`cut_windows`, without ``features``.

    Args:
        sample, count, rng: As in :func:`cut_windows`.
        err: (1, 1, h, w), the predicted error of the base.

    Returns:
        The row and column of each window at 1/4, and the windows, as views of ``sample``.
    """
    height, width = sample["src"].shape[1:]
    err = resize(err, height // 4, width // 4)
    ref = sample_patches(err, round(_REFINED_SHARE * height * width) // 16)[0].byte()
    top, left = (2 * rng.integers(_FEATURE_MARGIN // 2, PATCHES // 2, 2)).tolist()
    ends = (length // 4 - PATCHES - _FEATURE_MARGIN + 1 for length in (height, width))
    rows, columns = map(range, (top, left), ends, (PATCHES, PATCHES))
    places = [(y, x) for y in rows for x in columns]
    refined = np.array([_crop(ref, y, x, PATCHES).sum().item() for y, x in places], dtype=float)
    refined[refined < 6] = 0
    count = min(count, int(np.count_nonzero(refined)))
    if not count:
        return [], []
    picked = rng.choice(len(places), count, replace=False, p=refined / refined.sum())
    places = [places[index] for index in picked]
    windows = []
    for y, x in places:
        window = {name: _crop(sample[name], 4 * y, 4 * x, SIDE, _MARGIN) for name in ("src", "bgr")}
        window |= {name: _crop(sample[name], 4 * y, 4 * x, SIDE) for name in ("fgr", "pha")}
        window["ref"] = _crop(ref, y, x, PATCHES)
        windows.append(window)
    return places, windows


def cut_features(
    features: Tensor, places: list[tuple[int, int, int]], scale: float = 0.25
) -> Tensor:
    """The part of ``features`` for each window: (N, C, 24, 24) at 1/4; see :func:`cut_windows`.

    Args:
        features: (B, C, h, w), from :func:`features_of`.
        places: (N, 3), the sample, row and column at 1/4 of each window.
        scale: Backbone scale: one of ``SCALES``.

    Raises:
        ValueError: Another scale.
    """
    if scale not in SCALES:
        raise ValueError(f"backbone scale {scale}: windows are cut at {SCALES}")
    side = round(4 * scale * PATCHES)
    around = torch.arange(-_FEATURE_MARGIN, side + _FEATURE_MARGIN)
    sample, row, column = torch.tensor(places)[..., None, None].unbind(1)
    row, column = (place * side // PATCHES for place in (row, column))
    # One index for all: the gradient of a slice is as large as the tensor it is cut from.
    cut = features.permute(0, 2, 3, 1)[sample, row + around[:, None], column + around]
    return cut.permute(0, 3, 1, 2)


def _crop(x: Tensor, row: int, column: int, side: int, around: int = 0) -> Tensor:
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
    """Save windows of samples.

    Args:
        network: As in :func:`cut_windows`.
        folder, seed, first, samples: As in :func:`write_pool`.
        alike, shaded: As in :func:`drawing.sample.make_sample`.
        drawn: Samples drawn ahead to cut from; None draws new ones.

    Yields:
        The index of each finished sample.

    Raises:
        ValueError: As :func:`write_pool`; or ``drawn`` holds too few samples, or is combined with
            ``alike`` or ``shaded``.
    """
    if drawn is not None and first + samples > len(drawn):
        raise ValueError(f"{len(drawn)} samples were drawn ahead, {first + samples} are needed")
    if drawn is not None and (alike or shaded):
        raise ValueError("--alike and --shaded have no effect on samples drawn ahead")

    def draw(index: int) -> list[Batch]:
        rng = np.random.default_rng([seed, index, 3])
        if drawn is not None:
            edge_rng, spot_rng = (
                np.random.default_rng([seed, index, purpose]) for purpose in (7, 9)
            )
            sample = with_defects(edge_rng, spot_rng, drawn[index])
        else:
            height, width = SAMPLE_SIZES[rng.integers(len(SAMPLE_SIZES))]
            sample = to_tensors(make_sample(seed, index, height, width, alike=alike, shaded=shaded))
        return cut_windows(network, sample, max(4, sample["pha"].numel() // 65_000), rng)

    return write_pool(folder, draw, seed=seed, first=first, samples=samples)


class WindowPool(Pool):
    """Windows that were cut ahead."""

    _holds = frozenset(("src", "bgr", "fgr", "pha", "ref", "features"))

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """The ``count`` windows of ``step``: float32; images, ``pha`` and ``ref`` in [0, 1]."""
        batch = stacked(self.pick(np.random.default_rng([seed, step, 4]), count))
        images = ("src", "bgr", "fgr", "pha")
        return {name: x / 255 if name in images else x for name, x in batch.items()}


def stacked(windows: list[Batch]) -> Batch:
    """Windows as a batch, float32."""
    return {
        name: torch.stack([x[name] for x in windows])
        .float()
        .contiguous(memory_format=torch.channels_last)
        for name in windows[0]
    }


def refine_windows(network: MattingRefine, windows: Batch) -> Prediction:
    """The refined prediction in ``windows``, (B, C, 64, 64); its ``err`` is 0.

    It equals that of whole frames: convolutions without padding consume the margins.
    """
    refiner, decoder = network.refiner, network.decoder
    decoded = F.conv2d(windows["features"], decoder.conv4.weight, decoder.conv4.bias)
    pha, res, _, hid = decoded.split([1, 3, 1, 32], dim=1)
    coarse = torch.cat([hid.relu(), clamp(pha), res], dim=1)
    pair = torch.cat([windows["src"], windows["bgr"]], dim=1)
    half, have = pair.shape[3] // 2, coarse.shape[3]
    if have < half:  # what is left of a window's margin is cut off
        large = SIDE // 2 * have // (have - 2 * _FEATURE_MARGIN + 2)
        spare = (large - half) // 2
        coarse = resize(coarse, large, large)[..., spare:-spare, spare:-spare]
    context = torch.cat([coarse, F.avg_pool2d(pair, 2)], dim=1)
    x = F.interpolate(refiner._first_half(context), scale_factor=2.0, mode="nearest")
    y = refiner._second_half(torch.cat([x, pair[..., 4:-4, 4:-4]], dim=1))
    src = windows["src"][..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    pha = clamp(y[:, :1])
    return Prediction(pha, clamp(y[:, 1:] + src), torch.zeros_like(pha))
