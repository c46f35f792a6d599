"""Estimates the subject's colours where alpha is partial, with the plate as the background.

A frame is ``src = pha * fgr + (1 - pha) * background``. The background is the plate after a smooth
correction for shadow and exposure, or where the plate is wrong, what is seen around. The foreground
is first estimated for cells of 4x4 pixels, from far to near, and then in each pixel: the less the
background and alpha can be off there, the more the pixel itself decides. Each step is a Kalman
update: two estimates are averaged, with the inverse of their variances as weights.

The related methods without a plate are those of Germer et al., "Fast Multi-Level Foreground
Estimation" (2020), and Forte, "Approximate Fast Foreground Colour Estimation" (2021).

Levels are in [0, 1], and variances are of such levels.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .cells import CELL, HALVINGS, Cells, blurred, enlarged, halved, quarter_means

#: Alpha up to which a pixel hardly shows the subject, and from which it shows nothing else.
FAINT, SOLID = 0.01, 1 - 0.5 / 255
#: Cells that a CPU works on together, so that their pixels fit into its cache.
_CELLS_AT_ONCE = 2048

# These were found by random search on drawn images with known colours; training/foreground.py
# measures them.
#: Weight of the coarser level in a smooth background, where a pixel of it has 1.
_FILL = 0.025
#: Least variance of the background, and how much is added where none of it is seen around.
_LEAST_SPREAD, _UNSEEN_SPREAD = 6e-4, 0.012
#: Standard deviation of alpha, and the share of its variance that remains where alpha is 0.
_ALPHA_SIGMA, _ALPHA_AT_ZERO = 0.22, 0.027
#: Variance of the noise of a pixel, and squared distance of foreground and background, before the
#: foreground is known.
_NOISE, _DISTANCE = 1e-3, 0.08
#: Variance of what is wrong in a pixel besides, and a factor of alpha's standard deviation there.
_OTHER, _PIXEL_SIGMA = 3.3e-3, 0.6
#: Weights of the network's foreground where alpha is 0, and where it is 0.1 or more; in a quarter
#: of a cell; and weight of the whole cell there.
_NETWORK, _NETWORK_SEEN, _NETWORK_QUARTER, _CELL_QUARTER = 20.0, 5.0, 5.7, 3.9
#: Variance of a subject's colours before anything of it is seen, the weight of what the coarser
#: level found of it, the least, and factors for cells, their quarters, and pixels.
_VARIANCE, _VARIANCE_WEIGHT, _LEAST_VARIANCE = 0.033, 38.0, 6.7e-4
_OF_CELLS, _OF_QUARTERS, _OF_PIXELS = 1.72, 0.62, 0.95
#: How far a pixel with an alpha near 0 may be from its surroundings, in standard deviations.
_MOST = 2.0


class Foreground(NamedTuple):
    """The estimated foreground of a frame.

    Attributes:
        coarse: (3, h, w), in every cell, for pixels with an alpha up to ``FAINT``.
        cells: The cells that have a partial alpha.
        colours: (N, 4, 4, 3), the pixels of those cells. All others with an alpha from ``SOLID`` on
            are as in the frame.
    """

    coarse: Tensor
    cells: Cells
    colours: Tensor

    def part(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a part of the frame needs, in whole cells; it starts at a cell.

        Returns:
            ``coarse`` as pixels (3, h, w), the ``colours`` of the cells there, and the row and the
            column in cells of each.
        """
        top, bottom = _in_cells(rows, self.cells.height)
        left, right = _in_cells(columns, self.cells.width)
        y, x = max(top - 1, 0), max(left - 1, 0)  # a cell more, as coarse goes on smoothly
        pixels = enlarged(self.coarse[:, y : bottom + 1, x : right + 1], CELL)
        pixels = pixels[:, CELL * (top - y) : CELL * (bottom - y)]
        pixels = pixels[..., CELL * (left - x) : CELL * (right - x)]
        row, column = self.cells.rows, self.cells.columns
        here = (row >= top) & (row < bottom) & (column >= left) & (column < right)
        return pixels, self.colours[here], row[here] - top, column[here] - left


class _Part(NamedTuple):
    """Some cells: frame and background (3, N, 16), what is known of them, and what they show.

    ``alpha`` is (N, 16), and ``spread`` (N, 1) the variance of the background. ``sums`` (4, N, 4)
    has weight times colour, and weight, for each quarter.
    """

    cells: Cells
    frame: Tensor
    behind: Tensor
    alpha: Tensor
    spread: Tensor
    sums: Tensor


@torch.inference_mode()
def estimate_foreground(src: Tensor, bgr: Tensor, pha: Tensor, fgr_sm: Tensor) -> Foreground:
    """Estimate the foreground of a frame.

    Args:
        src: (3, H, W), the frame: integers or float. Channels-last memory is the fastest.
        bgr: (3, H, W), its plate, likewise.
        pha: (1, H, W) in [0, 1].
        fgr_sm: (3, H/4, W/4), rounded up, in [0, 1], the network's foreground in each cell.
    """
    cells = Cells.between(FAINT, pha[0], SOLID)
    background = _background(*(cells.sampled(x, 2) for x in (src, bgr, pha)))
    src_sm, pha_sm, fgr_sm = cells.sampled(src), cells.sampled(pha), cells.padded(fgr_sm)
    weight_sm = _weight(pha_sm, background[4:])
    sums_sm = torch.cat([src_sm * weight_sm, weight_sm])
    count = _CELLS_AT_ONCE if pha.device.type == "cpu" else max(1, len(cells.index))
    parts = [_part(c, src, bgr, pha, background) for c in cells.split(count)]
    for part in parts:
        part.cells.put(sums_sm, part.sums.mean(2))
    unseen = (1 - 10 * pha_sm).clamp(min=0)
    sums_sm = _with(sums_sm, fgr_sm, _NETWORK_SEEN + (_NETWORK - _NETWORK_SEEN) * unseen)
    coarse, variance_sm = _multi_level(sums_sm)

    variances, finer = [], enlarged(coarse)
    for part in parts:
        found, variance = _in_quarters(part, coarse, variance_sm, fgr_sm)
        part.cells.put_quarters(finer, found)
        variances.append(variance)
    colours = [_in_pixels(*each, finer) for each in zip(parts, variances, strict=True)]
    return Foreground(
        coarse, cells, torch.cat(colours) if colours else coarse.new_empty(0, 4, 4, 3)
    )


def _in_cells(part: slice, length: int) -> tuple[int, int]:
    """The first cell of a part of a side of ``length`` pixels, and the one after its last."""
    start, end, _ = part.indices(length)
    return start // CELL, -(-end // CELL)


def _part(cells: Cells, src: Tensor, bgr: Tensor, pha: Tensor, background: Tensor) -> _Part:
    """What some cells show of the foreground."""
    frame, plate, alpha = cells.pixels(src), cells.pixels(bgr), cells.pixels(pha)[0]
    near = cells.smooth(background[:4], CELL)
    behind = torch.addcmul(near[:3], near[3], plate)
    spread = cells.pick(background[4:])
    weight = _weight(alpha, spread)
    shown = _within((frame - (1 - alpha) * behind) / alpha.clamp(min=0.02), frame)
    sums = quarter_means(torch.cat([shown * weight, weight[None]]))
    return _Part(cells, frame, behind, alpha, spread, sums)


def _in_quarters(
    part: _Part, coarse: Tensor, variance_sm: Tensor, fgr_sm: Tensor
) -> tuple[Tensor, Tensor]:
    """The foreground (3, N, 4) in the quarters of cells, and the variance (N, 1) of its colours."""
    prior, variance = part.cells.smooth(coarse, 2), part.cells.pick(variance_sm)
    sums = _with(part.sums, part.cells.smooth(fgr_sm, 2), _NETWORK_QUARTER)
    sums = _with(sums, prior, _CELL_QUARTER)
    apart, weight = (x.mean(1, keepdim=True) for x in (_apart(sums, prior), sums[3]))
    variance = _updated(apart, weight, variance, _OF_QUARTERS)
    return _with_prior(sums, prior, variance), variance


def _in_pixels(part: _Part, variance: Tensor, finer: Tensor) -> Tensor:
    """The foreground (N, 4, 4, 3) in the pixels of cells, from that of quarters (3, 2 h, 2 w).

    An error of alpha moves a pixel along the line from background to foreground, so what differs
    from the expected pixel along this line tells less of the foreground than what differs across.
    """
    cells, frame, behind, alpha, spread, _ = part
    prior = cells.smooth_quarters(finer)
    variance, rest, uncertain = _OF_PIXELS * variance, 1 - alpha, alpha + _ALPHA_AT_ZERO
    line = prior - behind
    distance = line.square().sum(0)
    differs = frame - behind - alpha * line
    along = (differs * line).sum(0) / (distance + 1e-4)
    across_noise = rest * (rest * spread + _OTHER * uncertain)
    along_noise = across_noise + rest * uncertain * distance * (_PIXEL_SIGMA * _ALPHA_SIGMA) ** 2
    seen = alpha.square() * variance + 1e-9
    across_gain, along_gain = (
        alpha * variance / (seen + noise) for noise in (across_noise, along_noise)
    )
    step = across_gain * differs + ((along_gain - across_gain) * along) * line
    most = _MOST * variance.sqrt() / rest.clamp(min=1e-6)
    found = prior + torch.minimum(torch.maximum(step, -most), most)
    found = torch.where(alpha >= SOLID, frame, _within(found, frame))
    return found.permute(1, 2, 0).unflatten(1, (CELL, CELL)).contiguous()


def _within(colours: Tensor, frame: Tensor) -> Tensor:
    """Colours clamped to [0, 1], or to the level of the frame where that lies outside."""
    return torch.minimum(torch.maximum(colours, frame.clamp(max=0)), frame.clamp(min=1))


def _weight(alpha: Tensor, spread: Tensor) -> Tensor:
    """Weight of the foreground that a pixel shows, as long as the foreground is not known.

    It falls faster with alpha than the inverse of the variance, as errors of alpha are alike in
    pixels that are close, and do not cancel out.
    """
    rest = 1 - alpha
    of_alpha = _ALPHA_SIGMA**2 * (alpha + _ALPHA_AT_ZERO) * _DISTANCE
    return alpha.square().square() / (rest * (rest * spread + of_alpha) + _NOISE)


def _background(src: Tensor, bgr: Tensor, pha: Tensor) -> Tensor:
    """The background as ``trust * plate + correction``.

    Args:
        src: (3, h/2, w/2), one pixel of every other cell.
        bgr: (3, h/2, w/2).
        pha: (1, h/2, w/2).

    Returns:
        (5, h, w): ``correction``, of 3 channels; ``trust`` in [0, 1]; and the variance of the
        background around that.
    """
    weight = (1 - 20 * pha).clamp(min=0)
    change, around = _fill(torch.cat([src - bgr, src]), weight).split(3)
    errors = [(src - guess).square().mean(0) for guess in (bgr + change, around)]
    of_plate, of_around = _fill(torch.stack(errors), weight).split(1)
    trust = of_around / (of_plate + of_around + 1e-6)
    correction = torch.lerp(around, change, trust)
    unseen = (1 - 4 * blurred(blurred(weight))).clamp(min=0)
    spread = torch.minimum(of_plate, of_around) + _LEAST_SPREAD + _UNSEEN_SPREAD * unseen
    return enlarged(torch.cat([correction, trust, spread]))


def _pyramid(planes: Tensor) -> list[Tensor]:
    """Planes (C, h, w) and their means over squares of 2, 4, 8 and so on, the coarsest first."""
    levels = [planes]
    while min(levels[-1].shape[1:]) % 2 == 0 and len(levels) < HALVINGS:
        levels.append(halved(levels[-1]))
    return levels[::-1]


def _fill(values: Tensor, weight: Tensor) -> Tensor:
    """Smooth ``values`` (C, h, w) by ``weight`` (1, h, w); what has none is filled from around."""
    levels = _pyramid(torch.cat([values * weight, weight]))
    total = levels[0].mean((1, 2), keepdim=True)
    found = total[:-1] / (total[-1:] + 1e-6)
    for level in levels:
        found = found if level is levels[0] else enlarged(found)
        found = (level[:-1] + _FILL * found) / (level[-1:] + _FILL)
    return found


def _multi_level(sums: Tensor) -> tuple[Tensor, Tensor]:
    """The foreground (3, h, w) and the variance (1, h, w) of its colours, from far to near.

    Args:
        sums: (4, h, w), weight times colour, and weight.
    """
    levels = _pyramid(sums)
    total = levels[0].mean((1, 2), keepdim=True)
    found = (total[:3] / total[3:]).expand_as(levels[0][:3])
    variance = torch.full_like(levels[0][3:], _VARIANCE)
    for level in levels:
        if level is not levels[0]:
            found, variance = enlarged(found), enlarged(variance)
        apart, weight = blurred(torch.stack([_apart(level, found), level[3]])).split(1)
        variance = _updated(apart, weight, variance, _OF_CELLS)
        found = _with_prior(level, found, variance)
    return found, variance


def _with(sums: Tensor, colours: Tensor, weight: Tensor | float) -> Tensor:
    """Sums (4, ...) of weight times colour and of weight, with more colours (3, ...)."""
    return torch.cat([sums[:3] + weight * colours, sums[3:] + weight])


def _with_prior(sums: Tensor, prior: Tensor, variance: Tensor) -> Tensor:
    """The mean (3, ...) of sums (4, ...) and of a prior (3, ...) with a variance."""
    return (sums[:3] * variance + prior) / (sums[3] * variance + 1)


def _apart(sums: Tensor, colours: Tensor) -> Tensor:
    """Weight times squared distance (...) of sums (4, ...) from ``colours`` (3, ...)."""
    return (sums[:3] - sums[3] * colours).square().mean(0) / sums[3]


def _updated(apart: Tensor, weight: Tensor, variance: Tensor, factor: float) -> Tensor:
    """The variance of colours, where ``apart / weight`` is seen, and ``variance`` is the prior."""
    seen = apart + _VARIANCE_WEIGHT * variance
    return factor * seen / (weight + _VARIANCE_WEIGHT) + _LEAST_VARIANCE
