"""A run that is spread over workers: how many, where, and what becomes of their frames."""

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from dataset import FrameSource, ImageFolder, Places, VideoSource, resize
from media import UsageError, Warn
from model import DeviceError, fastest_precision, resolve_device
from writers import Encoded, FrameWriter, Kind

from .concurrency import cores_at_hand
from .frames import FramePlan, plan_frames
from .inputs import Inputs
from .loader import PairLoader
from .preview import Preview
from .ray_pool import RayPool, Seat, connect
from .region import RegionPredictor
from .report import Times
from .result import MattingResult
from .run import Finished, Workers
from .schedule import Schedule
from .settings import Settings
from .worker import Part, order_for

S = TypeVar("S", bound=Settings)

#: Cores of a worker, unless the number of workers is given.
_CORES = 4
#: Frames and bytes of a chunk, at most; files of images take about half of the bytes of a frame.
_MAX_FRAMES, _MAX_BYTES = 64, 128 * 2**20
#: Frames of a chunk, at least; and its length as a multiple of what is matted before it.
_MIN_FRAMES, _RUN_UPS = 4, 4
#: What reading a frame costs, if matting it costs 1.
_READING = 0.1
#: A frame, far from the start of a clip, at which all that carries over begins anew.
_FAR = 48 * 1000


def wants_workers(settings: Settings) -> bool:
    """Whether the settings ask for workers, and the run has something for them to do."""
    asked = (settings.workers, settings.devices, settings.ray_address)
    return any(asked) and not (settings.preview_only or settings.plate_only)


def check_ray() -> None:
    """Check that Ray is installed.

    Raises:
        UsageError: It is not; the message says what to do.
    """
    if find_spec("ray") is None:
        other = "or start runs with --frames side by side, and join them (docs/farm.md)"
        if sys.platform == "win32":
            raise UsageError(f"--workers: needs Ray, which lags on Windows; {other[3:]}")
        raise UsageError(f"--workers: needs Ray; pip install 'ray>=2.50', {other}")


def can_be_shared(src: FrameSource, warn: Warn) -> bool:
    """Whether a clip can be read from anywhere; otherwise the user is told."""
    if isinstance(src, ImageFolder) or (isinstance(src, VideoSource) and src.index is not None):
        return True
    warn(f"{src.name}: can only be read from its start, so that it is matted without workers")
    return False


def open_pool(settings: S) -> tuple[S, RayPool]:
    """Find room for the workers; the settings come back with the precision that they will use.

    Raises:
        UsageError, DeviceError: There is no room for so many; or no cluster, or no such device.
    """
    import ray

    if settings.ray_address is None and not ray.is_initialized():
        seats = _seats_here(settings)
        return settings, RayPool(connect(None, seats), seats, is_ours=True)
    is_ours = not ray.is_initialized()
    if is_ours:
        connect(settings.ray_address)
    pool = RayPool(ray, _seats_of_cluster(settings, ray.nodes()), is_ours=is_ours)
    if settings.precision == "auto" and pool.seats[0].device != resolve_device("auto").type:
        settings = replace(settings, precision=pool.ask(_fastest))
    return settings, pool


def _fastest(device: str) -> str:
    return fastest_precision(resolve_device(device))


def _seats_here(settings: Settings) -> list[Seat]:
    cores, gpus = cores_at_hand(), torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.devices == "all":
        if not gpus:
            raise DeviceError("--devices all: there are no CUDA devices here; give --workers")
        devices = [f"cuda:{n}" for n in range(gpus)]
    elif settings.devices is not None:
        devices = settings.devices.split(",")
    else:
        kind = resolve_device(settings.device).type
        known = [f"cuda:{n}" for n in range(gpus)] if kind == "cuda" else [kind]
        auto = len(known) if kind == "cuda" else max(1, cores // _CORES)
        count = auto if settings.workers in (None, "auto") else int(settings.workers or 1)
        devices = [known[n % len(known)] for n in range(count)]
    for device in dict.fromkeys(devices):
        resolve_device(device)
    return [Seat(device, max(1, cores // len(devices))) for device in devices]


def _seats_of_cluster(settings: Settings, nodes: Sequence[dict[str, Any]]) -> list[Seat]:
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    asked = None if settings.workers in (None, "auto") else int(settings.workers or 1)
    gpus = [(int(node["GPU"]), int(node.get("CPU", 1))) for node in alive if node.get("GPU")]
    if gpus and settings.device in ("auto", "cuda"):
        there = sum(count for count, _ in gpus)
        if asked is not None and asked > there:
            raise UsageError(f"--workers {asked}: the cluster has {there} GPUs")
        threads = max(1, min(cpus // count for count, cpus in gpus))
        return [Seat("cuda", threads, 1)] * (asked or there)
    cores = [int(node.get("CPU", 0)) for node in alive]
    if asked is None:
        threads = min([_CORES, *(count for count in cores if count)])
        asked = sum(count // threads for count in cores) if any(cores) else 0
    if not asked or sum(cores) < asked:
        raise UsageError(f"--workers {asked}: the cluster has {sum(cores)} cores")
    for threads in range(sum(cores) // asked, 0, -1):
        if sum(count // threads for count in cores) >= asked:
            break
    return [Seat("cpu", threads)] * asked


def matted_by(
    pool: RayPool,
    settings: Settings,
    inputs: Inputs,
    plan: FramePlan,
    loader: PairLoader,
    preview: Preview | None,
    region: RegionPredictor | None,
    result: MattingResult,
    waiting: Callable[[], None],
) -> Workers:
    """What gives the frames of a run that workers matte.

    Args:
        pool: Of the workers.
        settings: With what the checkpoint, the clip and the devices decided.
        inputs: What the frames are made from.
        plan: Which frames to write.
        loader: Is told what the workers have read and fitted.
        preview: Gets the rows of the contact sheet.
        region: Is told what the workers have looked at.
        result: Gets warnings.
        waiting: Called now and then while nothing comes; what it raises stops the run.
    """

    def work(sinks: Mapping[Kind, FrameWriter], times: Times) -> Generator[Finished]:
        places = _listed(plan.written, inputs.src)
        static = None
        if settings.align == "static":
            image = resize(next(iter(inputs.bgr)).image, loader.size)
            static = loader.fitter.align_once(image, waiting)
        order = order_for(settings, inputs, sinks, static=static, expected=len(places))
        count = len(pool.seats)
        least, most = _chunk_sizes(settings, inputs.size, sinks)
        schedule = Schedule(len(places), count, least=least, most=most, ahead=chunks_ahead(count))
        with closing(pool.parts(order, places, schedule, waiting)) as parts:
            for part in parts:
                _note(part, loader, preview, region, result, times, count)
                yield from _frames(part)
                if part.error is not None:
                    raise part.error

    return work


def chunks_ahead(workers: int) -> int:
    """Chunks that may be handed out beyond the oldest one that is missing."""
    return 2 * workers + 2


def _listed(places: Places, src: FrameSource) -> Sequence[int]:
    if places.onward is None:
        return places.some
    onward = range(places.onward, src.length())
    return [*places.some, *onward] if places.some else onward


def _chunk_sizes(
    settings: Settings, size: tuple[int, int], sinks: Mapping[Kind, FrameWriter]
) -> tuple[int, int]:
    """Frames of a chunk, at least and at most."""
    plan = plan_frames(settings, Places([_FAR], None))
    before, matted = len(plan.read.some) - 1, len(plan.matted.some) - 1
    cost = before if settings.align else matted + _READING * (before - matted)
    least = max(_MIN_FRAMES, round(_RUN_UPS * cost))
    pixels = size[0] * size[1]
    a_frame = sum(pixels * _bytes_of_pixel(sink) for sink in sinks.values())
    return least, int(min(_MAX_FRAMES, max(1, _MAX_BYTES // max(1, a_frame))))


def _bytes_of_pixel(sink: FrameWriter) -> float:
    """About how many bytes a pixel of four channels has on its way."""
    levels = 4 * {8: 1, 16: 2, "half": 2, "float": 4}[sink.depth]
    return levels / 2 if hasattr(sink, "encoder") else levels


def _note(
    part: Part,
    loader: PairLoader,
    preview: Preview | None,
    region: RegionPredictor | None,
    result: MattingResult,
    times: Times,
    workers: int,
) -> None:
    """Take over what a worker tells beside its frames."""
    loader.hand_out(part.times)
    loader.fitter.elsewhere += part.fits
    if preview is not None:
        preview.take(part.count, part.rows)
    if region is not None:
        region.counts += part.region
    for warning in part.warnings:
        result.warn(warning)
    read, network = part.seconds
    loader.busy_seconds += read / workers
    times.network += network / workers


def _frames(part: Part) -> Generator[Finished]:
    """One frame after another; those that could not be decoded are told with the first."""
    repeated = part.repeated
    for n in range(part.count):
        frames = {kind: _frame(some[n]) for kind, some in part.frames.items()}
        yield Finished(1, True, repeated if not n else [], frames)


def _frame(content: np.ndarray) -> Tensor | Encoded:
    """A frame (1, C, H, W), from (H, W, C); or a file, from its bytes."""
    if content.ndim == 1:
        return [content.data]
    return torch.from_numpy(content.copy())[None].permute(0, 3, 1, 2)
