"""The kinds of output and the table of file formats."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from media import Warn

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


@dataclass(frozen=True)
class Clip:
    """The properties of a clip that a writer may need.

    Attributes:
        size: (height, width) of every frame.
        frame_rate: Frames per second.
        time_base: Tick in seconds; every time is a multiple of it. None without times.
        timestamps: Returns a new iterator over the times of the frames in seconds.
        origin: Time of the clip that is 0 in the output, in seconds.
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


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format for frames.

    Attributes:
        name: Value of ``--output-format``, or of ``--image-extension`` for images.
        holds: Short description of its files.
        extension: Extension of its files.
        writer: Module of this package whose ``open_writer`` opens the frame writer.
        encoder: For images: module of this package whose ``encode`` makes the content of a file.
        alpha: How colours go with alpha by default; None if it holds no alpha.
        linear: Its colours are linear light, rather than levels of sRGB.
        depths: Bits per level that it holds; the first is the default.
        sound: It holds the audio of the clip.
        times: It holds the times of the frames.
        options: Names of the settings that its frame writer takes as keywords.
        ending: For images: the last bytes of every complete file; None where these vary and the
            encoder's ``is_whole`` tells.
        max_side: Largest width or height in pixels; None for no limit.
    """

    name: str
    holds: str
    extension: str
    writer: str
    encoder: str | None = None
    alpha: Alpha | None = None
    linear: bool = False
    depths: tuple[Depth, ...] = (8,)
    sound: bool = False
    times: bool = False
    options: tuple[str, ...] = ()
    ending: bytes | None = None
    max_side: int | None = None

    @property
    def is_images(self) -> bool:
        """Whether each frame is one file; such outputs can be resumed."""
        return self.encoder is not None

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
        writer: FrameWriter = module.open_writer(output, root, clip, **options)
        return writer


_IMAGE_OPTIONS = ("start_number", "bit_depth")
_WITH_ALPHA = (*_IMAGE_OPTIONS, "alpha")

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
        Format(
            name="video",
            holds="H.264 in MP4",
            extension="mp4",
            writer="video",
            sound=True,
            times=True,
            options=("crf", "hwaccel"),
            max_side=16384,
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
    return f"{depth} bits" if isinstance(depth, int) else f"{depth} floats"


def default_extension(kind: Kind, depth: Depth | None) -> str:
    """The default image format of a kind: the smallest that holds what is wanted of it."""
    for name in ("jpg", "png", "exr"):
        form = FORMATS[name]
        if (form.alpha or kind != "com") and depth in (None, *form.depths):
            return name
    raise AssertionError(f"no format for {kind} in {depth}")


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
        bits = ", ".join(map(str, form.depths))
        lines.append(
            f"| `{name}` | `{files}` | {form.holds} | {alpha} | {bits} | {sound} | {times} "
            f"| {resume} | {options} |"
        )
    return "\n".join(lines)
