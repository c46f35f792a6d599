"""The kinds of output and the table of file formats."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from media import UsageError, Warn

if TYPE_CHECKING:  # --help imports this module and must not wait for PyTorch
    from .base import FrameWriter
    from .outputs import Output

Kind = Literal["com", "pha", "fgr", "err", "ref"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Bits per level, or the type of float.
Depth = Literal[8, 16, "half", "float"]
#: Whether colours are multiplied by alpha.
Alpha = Literal["straight", "premultiplied"]
ExrCompression = Literal["zip", "zips", "piz", "rle", "dwaa", "dwab", "none"]

#: The value of ``--output-format`` for one file per frame, in the format of ``--image-extension``.
IMAGE_SEQUENCES = "image_sequences"
#: The value of ``--output-dir`` for standard output, which takes this format.
STDOUT, STDOUT_FORMAT = "-", "nut"


@dataclass(frozen=True)
class Clip:
    """The properties of a clip that a writer may need.

    Attributes:
        size: (height, width) of every frame.
        frame_rate: Frames per second.
        time_base: Tick in seconds; every time is a multiple of it. None without times.
        timestamps: Returns a new iterator over the times of the frames in seconds.
        numbers: Returns a new iterator over the numbers of the frames.
        origin: Time of the clip that is 0 in the output, in seconds.
        is_part: The frames are a part of the clip, and the audio ends with them.
        audio: A file with the audio of the clip; None without audio.
        warn: Called with one sentence for each thing that a writer leaves out.
    """

    size: tuple[int, int]
    frame_rate: Fraction
    time_base: Fraction | None
    timestamps: Callable[[], Iterator[Fraction | None]]
    origin: Fraction
    audio: Path | None
    warn: Warn
    numbers: Callable[[], Iterator[int]] = count
    is_part: bool = False


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format for frames.

    Attributes:
        name: Value of ``--output-format``, or of ``--image-extension`` for images.
        holds: Short description of its files.
        extension: Extension of its files.
        writer: Module of this package whose ``open_writer`` opens the frame writer.
        encoder: Module of this package: for images, its ``encode`` makes the content of a file; for
            videos, its ``plan`` says what they are encoded with.
        alpha: How colours go with alpha by default; None if it holds no alpha.
        linear: Its colours are linear light, rather than levels of sRGB.
        depths: Depths of the frames that it takes; the first is the default.
        bits: Bits per level that its files hold, where that is something else.
        sound: It holds the audio of the clip.
        times: It holds the times of the frames.
        options: Names of the settings that its frame writer takes as keywords.
        ending: For images: the last bytes of every complete file; None where these vary and the
            encoder's ``is_whole`` tells.
        margin: As of :class:`FrameWriter`.
        min_side: Smallest width or height in pixels.
        max_side: Largest width or height in pixels; None for no limit.
    """

    name: str
    holds: str
    extension: str
    writer: str
    encoder: str
    alpha: Alpha | None = None
    linear: bool = False
    depths: tuple[Depth, ...] = (8,)
    bits: str | None = None
    sound: bool = False
    times: bool = False
    options: tuple[str, ...] = ()
    ending: bytes | None = None
    margin: int = 0
    min_side: int = 1
    max_side: int | None = None

    @property
    def is_images(self) -> bool:
        """Whether each frame is one file; such outputs can be resumed."""
        return self.writer == "images"

    @property
    def bits_in_words(self) -> str:
        """The bits per level that its files hold."""
        return f"{self.bits} bits" if self.bits else " or ".join(map(in_words, self.depths))

    def depth_for(self, asked: Depth | None, *, deep: bool) -> Depth:
        """The depth of its files.

        Args:
            asked: What the user wants, if anything.
            deep: The clip has more than 8 bits a level.
        """
        return asked or (16 if deep and 16 in self.depths else self.depths[0])

    def open(
        self, output: "Output", root: Path, clip: Clip, options: dict[str, Any]
    ) -> "FrameWriter":
        """Open the writer for an output in ``root``; ``options`` are those of the format."""
        module = import_module(f"{__package__}.{self.writer}")
        writer: FrameWriter = module.open_writer(self, output, root, clip, **options)
        return writer

    def check(self) -> None:
        """Check that this installation can write the format.

        Raises:
            UsageError: It cannot; the message says what to install.
        """
        try:
            module = encoder_of(self)
        except ImportError as error:
            raise UsageError(
                f"{self.name}: needs the Python package {error.name}, which is not installed; "
                f"pip install {error.name}"
            ) from error
        encoder = getattr(module, "ENCODER", None)
        if encoder is not None:
            import av

            if encoder not in av.codecs_available:
                raise UsageError(
                    f"{self.name}: the FFmpeg of this PyAV has no encoder {encoder}; "
                    "pip install --force-reinstall av brings one that has"
                )


_IMAGE_OPTIONS = ("bit_depth",)
_WITH_ALPHA = (*_IMAGE_OPTIONS, "alpha")


def _video(name: str, holds: str, extension: str, encoder: str, **more: Any) -> Format:
    """A format of videos, which all hold sound and times."""
    return Format(
        name=name,
        holds=holds,
        extension=extension,
        writer="video",
        encoder=encoder,
        sound=True,
        times=True,
        **more,
    )


FORMATS = {
    form.name: form
    for form in (
        Format(
            name="png",
            holds="PNG, lossless",
            extension="png",
            writer="images",
            encoder="png",
            alpha="straight",
            depths=(8, 16),
            options=_WITH_ALPHA,
            ending=b"IEND\xaeB`\x82",
        ),
        Format(
            name="tif",
            holds="TIFF, lossless",
            extension="tif",
            writer="images",
            encoder="tiff",
            alpha="straight",
            depths=(8, 16),
            options=_WITH_ALPHA,
        ),
        Format(
            name="exr",
            holds="OpenEXR, linear light, lossless",
            extension="exr",
            writer="images",
            encoder="exr",
            alpha="premultiplied",
            linear=True,
            depths=("half", "float"),
            options=(*_WITH_ALPHA, "exr_compression"),
        ),
        Format(
            name="webp",
            holds="WebP, lossless",
            extension="webp",
            writer="images",
            encoder="webp",
            alpha="straight",
            options=_WITH_ALPHA,
            max_side=16383,
        ),
        *(
            Format(
                name=name,
                holds="JPEG, quality 97, full chroma",
                extension=name,
                writer="images",
                encoder="jpeg",
                options=_IMAGE_OPTIONS,
                ending=b"\xff\xd9",
                max_side=65500,
            )
            for name in ("jpg", "jpeg")
        ),
        _video("video", "H.264 in MP4", "mp4", "h264", options=("crf", "hwaccel"), max_side=16384),
        _video(
            "prores4444",
            "ProRes 4444 in QuickTime",
            "mov",
            "prores",
            alpha="straight",
            depths=(16,),
            bits="10",
            options=("alpha",),
        ),
        _video(
            "webm",
            "VP9 with alpha in WebM",
            "webm",
            "vp9",
            alpha="straight",
            options=("alpha", "crf"),
            margin=32,  # the largest blocks of VP9
            max_side=16384,
        ),
        _video(
            "qtrle",
            "QuickTime Animation, lossless",
            "mov",
            "qtrle",
            alpha="straight",
            options=("alpha",),
        ),
        _video(
            "ffv1",
            "FFV1 in Matroska, lossless",
            "mkv",
            "ffv1",
            alpha="straight",
            depths=(8, 16),
            options=("bit_depth", "alpha"),
        ),
        _video(
            "nut",
            "raw RGBA in NUT, for pipes",
            "nut",
            "raw",
            alpha="straight",
            depths=(8, 16),
            options=("bit_depth", "alpha"),
        ),
        _video(
            "hevc",
            "HEVC in MP4",
            "mp4",
            "hevc",
            depths=(16,),
            bits="10",
            options=("crf",),
            min_side=16,
            max_side=8192,
        ),
        _video(
            "av1",
            "AV1 in MP4",
            "mp4",
            "av1",
            depths=(16,),
            bits="10",
            options=("crf",),
            min_side=4,
            max_side=8192,
        ),
    )
}
#: Values of ``--output-format`` and of ``--image-extension``.
OUTPUT_FORMATS = (
    *(name for name, form in FORMATS.items() if not form.is_images),
    IMAGE_SEQUENCES,
)
IMAGE_EXTENSIONS = tuple(name for name, form in FORMATS.items() if form.is_images)


def encoder_of(form: Format) -> Any:
    """The module that encodes images of a format."""
    return import_module(f"{__package__}.{form.encoder}")


def in_words(depth: Depth) -> str:
    """A depth in words."""
    return {"half": "half floats", "float": "full floats"}.get(str(depth), f"{depth} bits")


def default_extension(kind: Kind, depth: Depth | None) -> str:
    """The default image format of a kind: the smallest that holds what is wanted of it."""
    for name in ("jpg", "png", "exr"):
        form = FORMATS[name]
        if (form.alpha or kind != "com") and depth in (None, *form.depths):
            return name
    raise AssertionError(f"no format for {kind} in {depth}")


def format_list() -> str:
    """The formats for a terminal: flags, files, what they hold."""
    rows = [("--output-format", "--image-extension", "bits", "alpha", "sound", "holds")]
    for form in FORMATS.values():
        flags = (IMAGE_SEQUENCES, form.name) if form.is_images else (form.name, "")
        bits = form.bits or "|".join(map(str, form.depths))
        rows.append((*flags, bits, form.alpha or "no", "yes" if form.sound else "no", form.holds))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def format_table() -> str:
    """The formats as a table in Markdown."""
    lines = [
        "| format | files | holds | alpha | bits | sound | times | `--resume` | options |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for form in FORMATS.values():
        name = f"{IMAGE_SEQUENCES}, --image-extension {form.name}" if form.is_images else form.name
        kind = "com" if form.alpha or not form.is_images else "pha"
        files = f"{kind}/00000.{form.extension}" if form.is_images else f"{kind}.{form.extension}"
        options = ", ".join(f"`--{option.replace('_', '-')}`" for option in form.options)
        held = (bool(form.alpha), form.sound, form.times, form.is_images)
        alpha, sound, times, resume = ("yes" if x else "no" for x in held)
        bits = form.bits or ", ".join(map(str, form.depths))
        lines.append(
            f"| `{name}` | `{files}` | {form.holds} | {alpha} | {bits} | {sound} | {times} "
            f"| {resume} | {options} |"
        )
    return "\n".join(lines)
