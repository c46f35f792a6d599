"""Matting a clip, from settings to finished files: everything is opened and wired here."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from torch import nn

from dataset import (
    FrameSource,
    PickedFrames,
    Places,
    SampledFrames,
    VideoSource,
    check_shape,
)
from media import UsageError
from model import MattingBase, Predictor, resolve_device
from plate import Watch, check_repairable
from writers import (
    FORMATS,
    IMAGE_SEQUENCES,
    KINDS,
    Clip,
    FrameWriter,
    Kind,
    Output,
)

from .alpha_filters import alpha_filters
from .bottleneck import last_words
from .coding import settle_coding
from .frames import FrameNumbers, FramePlan, choose_frames, numbering_of, plan_frames
from .inputs import Inputs, Networks, open_inputs, open_loader, open_network, pick_frames
from .loader import PairLoader
from .outputs import open_folder, open_sinks, plan_outputs
from .pipes import writes_to_stdout
from .plate_repair import with_repaired_plate
from .preflight import preflight
from .preview import PREVIEW_FRAMES, Preview
from .ray_pool import RayPool
from .region import region_of
from .result import MattingResult, logger
from .run import Progress, Run
from .saved_plate import prepare_plate, saved_plate
from .settings import Settings
from .typed_call import keywords_of
from .wide_plate import plate_files, with_completed_plate
from .workers import can_be_shared, check_ray, matted_by, open_pool, wants_workers


@dataclass(frozen=True, kw_only=True)
class Job(Settings):
    """Settings, and what only a program can give; :func:`matte_video` describes it."""

    network: nn.Module | None = None
    networks: Networks | None = None
    writers: Mapping[Kind, FrameWriter] | None = None
    progress: Progress | None = None
    preparing: Watch | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_dir is None and self.writers is None:
            raise UsageError("--output-dir is needed")
        if (self.preview_only or self.resume) and self.writers is not None:
            flag = "--preview-only" if self.preview_only else "--resume"
            raise UsageError(f"{flag} writes to a folder; give output_dir and no writers")
        if unknown := [kind for kind in self.writers or () if kind not in KINDS]:
            expected = ", ".join(KINDS)
            raise UsageError(f"writers for {', '.join(unknown)}: expected some of {expected}")
        if self.writers is not None and not self.writers:
            raise UsageError(f"writers is empty: expected some of {', '.join(KINDS)}")
        if self.network is not None and wants_workers(self):
            raise UsageError("--workers load the network themselves; give a checkpoint")


@keywords_of(Job)
def matte_video(job: Job) -> MattingResult:
    """Matte a clip.

    Every flag of the command line is a keyword of the same name; docs/flags.md and ``--help``
    describe them. These come besides:

    Args:
        network: Used instead of a checkpoint: maps ``src`` and ``bgr`` to an output such as that
            of :class:`model.MattingRefine` or :class:`model.MattingBase`.
        networks: Keeps the network of a checkpoint from one call to the next.
        writers: Sinks by kind, used instead of files in ``output_dir``, and closed once the run has
            begun. Unless ``output_format`` is ``video``, ``com`` comes with alpha, as 4 channels.
        progress: Called before files are removed, after every batch, and now and then while one is
            waited for, with the frames done and the frames expected, if known.
            What it raises stops the run; everything written until then is closed and stays.
        preparing: Called likewise while a plate is made or repaired, before the first frame, with
            what is counted, such as "frames read for the plate", how many are done, and how many
            there are, if known. Without it, ``progress`` is called then.

    Raises:
        MattingError: Something that the caller can mend; one of the following.
        UsageError: Settings do not go together (a ``ValueError``).
        ShapeError, PlateError: The plate has another shape than the clip, or does not fit it and
            ``strict`` (``ValueError``).
        MediaError, CheckpointError, WriteError: Something cannot be read or written; the message
            names it (``OSError``).
        DeviceError: The device is missing or too small (a ``RuntimeError``).
    """
    result = MattingResult()
    if wants_workers(job):
        check_ray()
    kinds: list[Kind] = list(job.output_types if job.writers is None else job.writers)
    if job.writers is None:
        for kind in kinds:
            job.format_of(kind).check()
    inputs = open_inputs(job, kinds, result.warn)
    result.coding = settle_coding(job, inputs, result.warn)
    if not (wants_workers(job) and can_be_shared(inputs.src, result.warn)):
        return _matte(job, kinds, inputs, result, None)
    job, pool = open_pool(job)
    with closing(pool):
        return _matte(job, kinds, inputs, result, pool)


def _matte(
    job: Job, kinds: list[Kind], inputs: Inputs, result: MattingResult, pool: RayPool | None
) -> MattingResult:
    """Matte a clip that is open, here or by workers."""
    numbering = numbering_of(job, inputs.src)
    frames = choose_frames(job.frames, inputs.src, numbering, inputs.frame_rate, result.warn)
    _check_plate(job, inputs, result)
    job, predictor = _open_predictor(job, inputs, result)
    if "ref" in kinds and type(predictor.plain) is MattingBase:
        raise UsageError("--output-types ref needs a network with a refiner (mattingrefine)")
    region = region_of(job, predictor)
    saved = None if job.plate_only or job.writers else saved_plate(job, inputs.src, result.warn)
    if saved is not None and saved.plate is not None:
        inputs = replace(inputs, bgr=saved.plate)
    else:
        inputs = with_repaired_plate(job, inputs, predictor, result.warn)
        inputs = with_completed_plate(job, inputs, result.warn)
    if job.plate_only:
        kinds, frames = [], FrameNumbers(numbering, Places((), None))
    whole = inputs
    plan = plan_frames(job, frames.places)
    filters = alpha_filters(job, inputs.size, lambda: iter(plan.matted))
    if job.preview_only:
        kinds, inputs = [], pick_frames(inputs, PREVIEW_FRAMES, frames.places)
        plan = FramePlan()
    expected = inputs.src.length_hint if plan.written.are_all else len(plan.written.some)

    def progress(done: int) -> None:
        if job.progress is not None:
            job.progress(done, expected)

    def watch(stage: str, done: int, total: int | None) -> None:
        if job.preparing is not None:
            job.preparing(stage, done, total)
        else:
            progress(result.resumed)

    begin = _begin_of(inputs.src, plan)
    outputs: dict[Kind, Output] = {}
    folder = preview = None
    if not job.resume:
        progress(0)  # the last moment to stop before files are removed
    if job.writers is None:
        outputs = plan_outputs(job, kinds, inputs, frames)
    if job.writers is None and not writes_to_stdout(job):
        folder = open_folder(
            job,
            outputs,
            frames,
            inputs.src,
            plate_files=plate_files(whole.bgr),
            begin=begin,
            frame_rate=inputs.frame_rate,
            device=str(predictor.device) if pool is None else str(pool),
        )
        hidden = {"timecodes"} if job.preview_only else {"preview", "timecodes"}
        shown = [output for output in folder.outputs if output.kind not in hidden]
        result.outputs = [folder.root / output.path for output in shown]
        if folder.whole:
            plan = plan_frames(job, frames.without(folder.whole))
        result.frames = result.resumed = len(folder.whole)
        result.repeated_frames = list(folder.repeated)
        preview = _preview_of(inputs, frames, expected and expected - result.resumed)
    loader = open_loader(
        job,
        inputs,
        plan,
        predictor,
        warn=result.warn,
        waiting=lambda: progress(result.frames),
        static=None if saved is None else saved.homography,
    )
    workers = None
    if pool is not None:
        workers = matted_by(
            pool,
            job,
            inputs,
            plan,
            loader,
            preview,
            region,
            result,
            lambda: progress(result.frames),
        )
    if job.writers is not None:
        sinks: Iterator[tuple[Kind, FrameWriter]] = iter(job.writers.items())
    else:
        clip = _clip_of(job, inputs, loader, begin, result, lambda: frames.numbers(plan.written))
        written = {} if plan.written.are_none else outputs
        root = Path(job.output_dir or "")
        sinks = open_sinks(job, written, root, clip, deep=inputs.src.deep)
    Run(
        loader=loader,
        predictor=predictor,
        region=region,
        filters=filters,
        sinks=sinks,
        frames=FrameNumbers() if job.preview_only else frames,
        keeps_alpha=job.keeps_alpha,
        estimates=job.fgr == "estimate",
        result=result,
        progress=progress,
        folder=folder,
        preview=preview,
        prepare=partial(prepare_plate, job, whole, loader, folder, result, watch),
        workers=workers,
    ).matte()
    frames.check_end(inputs.src.name, result.frames, result.warn)
    result.bottleneck = last_words(
        result.bottleneck,
        result.waited,
        seconds=result.seconds,
        matted=result.frames - result.resumed,
        resumed=result.resumed,
    )
    result.note = _note_on_alpha(job, kinds)
    return result


def _note_on_alpha(job: Job, kinds: list[Kind]) -> str | None:
    """That ``com`` has lost its alpha, unless a target was given: then that was the wish."""
    if job.writers or "com" not in kinds or job.keeps_alpha or job.video_target_bgr is not None:
        return None
    holding = [form for form in FORMATS.values() if form.alpha]
    images = ", ".join(form.name for form in holding if form.is_images)
    videos = ", ".join(form.name for form in holding if not form.is_images)
    return (
        f"com is composited over green, as {job.output_format} holds no alpha; {videos} and "
        f"{IMAGE_SEQUENCES} ({images}) hold it"
    )


def _check_plate(job: Job, inputs: Inputs, result: MattingResult) -> None:
    """Refuse a plate that cannot be used, before the network is loaded."""
    src, bgr = inputs.src, inputs.bgr
    if job.mend_plate:
        check_repairable(bgr)
    stretch = job.video_resize is not None
    check_shape("the plate", bgr.name, bgr.size, src.size, stretch=stretch, warn=result.warn)


def _open_predictor(job: Job, inputs: Inputs, result: MattingResult) -> tuple[Job, Predictor]:
    """Load the network and run the preflight, side by side: each takes about as long.

    The settings come back with what the checkpoint, the size and the device decided.
    """
    device = resolve_device(job.device)
    with ThreadPoolExecutor(1) as aside:
        looking = aside.submit(preflight, job, inputs, result.warn)
        network = job.network
        if network is None:
            job, network = open_network(job, longer_side=max(inputs.size), networks=job.networks)
        predictor = Predictor(network, device, precision=job.precision, warn=result.warn)
    result.preflight = looking.result()
    logger.debug("network: the %s path, %s, on %s", predictor.path, predictor.precision, device)
    is_ours = job.network is None and job.model_checkpoint is None
    fgr = job.fgr or ("estimate" if is_ours else "network")
    return replace(job, precision=predictor.precision, fgr=fgr), predictor


def _begin_of(src: FrameSource, plan: FramePlan) -> Fraction | None:
    """The time at which a part of a clip begins, in seconds; None for a whole clip."""
    if plan.written.are_all or plan.written.are_none or src.time_base is None:
        return None
    if isinstance(src, VideoSource) and src.index is not None and src.start is not None:
        return src.start + src.time_at(plan.written.some[0])
    first = next(src.pick(Places(plan.written.some[:1], None)), None)
    return None if first is None else first.time


def _clip_of(
    settings: Settings,
    inputs: Inputs,
    loader: PairLoader,
    begin: Fraction | None,
    result: MattingResult,
    numbers: Callable[[], Iterator[int]],
) -> Clip:
    return Clip(
        size=inputs.size,
        frame_rate=inputs.frame_rate,
        time_base=inputs.src.time_base,
        timestamps=loader.timestamps,
        numbers=numbers,
        origin=inputs.src.origin if begin is None else begin,
        is_part=begin is not None,
        audio=Path(settings.video_src) if inputs.src.time_base and not inputs.src.once else None,
        warn=result.warn,
    )


def _preview_of(inputs: Inputs, frames: FrameNumbers, expected: int | None) -> Preview:
    names: list[int] = []
    if isinstance(inputs.src, SampledFrames):
        names = [frames.numbering[place] for place in inputs.src.numbers]
    elif isinstance(inputs.src, PickedFrames):
        names = [frames.numbering[place] for place in inputs.src.places.some]
    return Preview(expected, names)
