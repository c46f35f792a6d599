"""Frames whose packets FFmpeg skips because the file is damaged there: all others keep theirs."""

import random
import re
import struct
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import pytest
from footage import make_clip, read_number
from runs import report, run

from dataset import MediaError, VideoSource
from dataset.transport import breaks as transport_breaks

CLIPS = {
    "a.mkv": dict(options={"g": "12", "bf": "3"}),
    "with sound.mkv": dict(options={"g": "12"}, sound="aac"),
    "film.mkv": dict(options={"g": "12"}, rate=Fraction(24000, 1001)),
    "lossless.mkv": dict(codec="ffv1"),
    "vp9.webm": dict(codec="libvpx-vp9", options={"g": "12"}),
    "vp8.webm": dict(codec="libvpx", options={"g": "12"}),
    "a.flv": dict(options={"g": "12", "bf": "2"}),
    "a.nut": dict(options={"g": "12"}),
    "a.ts": dict(options={"g": "12", "bf": "2"}),
    "late.mkv": dict(  # of a longer one
        options={"g": "12"},
        times=[5 + Fraction(n, 25) for n in range(120)],
        time_base=Fraction(1, 1000),
    ),
}


def overwrite(path: Path, first: int, end: int, *, seed: int | None = 1) -> Path:
    """Put noise, or zeros without a seed, over packets ``first`` to ``end`` and what is between."""
    with av.open(str(path)) as container:
        places = sorted(packet.pos for packet in container.demux(video=0) if packet.size)
    data = bytearray(path.read_bytes())
    length = places[end] - places[first]
    noise = bytes(length) if seed is None else random.Random(seed).randbytes(length)
    data[places[first] : places[end]] = noise
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Callable[[str], bytes]:
    """The content of each of the clips, of 120 frames, which are made once."""
    folder = tmp_path_factory.mktemp("whole")
    return cache(lambda name: make_clip(folder / name, 120, **CLIPS[name]).read_bytes())


def placed(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("seed", [None, 1], ids=["zeros", "noise"])
@pytest.mark.parametrize("damaged", [(20, 21), (14, 30), (40, 70)], ids=str)
@pytest.mark.parametrize("name", CLIPS)
def test_frames_after_a_hole_in_the_file_keep_their_numbers(tmp_path, whole, name, damaged, seed):
    if seed and name in ("a.flv", "a.nut"):
        pytest.skip("FFmpeg ends there or gives noise as packets; a warning says so")
    clip = overwrite(placed(tmp_path / name, whole(name)), *damaged, seed=seed)
    frames = list(VideoSource(clip, pytest.fail))
    shown = [read_number(frame.image) for frame in frames]
    assert len(frames) == 120
    assert shown[:8] == list(range(8)) and shown[112:] == list(range(112, 120))
    for number, frame in enumerate(frames):
        assert not frame.repeated or shown[number] == shown[number - 1]
    rate = CLIPS[name].get("rate", 25)
    start = frames[0].time
    assert all(abs(f.time - start - n / rate) <= Fraction(1, 500) for n, f in enumerate(frames))


def test_what_is_skipped_is_listed(folder):
    overwrite(make_clip(folder / "clip.mkv", 60, codec="ffv1"), 20, 26)
    result = run(folder, video_src="clip.mkv")
    assert result.returncode == 0
    repeated = report(folder / "out")["repeated_frames"]
    assert report(folder / "out")["frames"] == 60
    assert set(range(20, 26)) <= set(repeated) and repeated == list(range(20, 20 + len(repeated)))
    assert f"{len(repeated)} damaged frames" in result.stderr


@pytest.mark.parametrize("name", ["a.mkv", "with sound.mkv", "lossless.mkv", "vp9.webm"])
def test_a_hole_at_the_start(tmp_path, whole, name):
    clip = overwrite(placed(tmp_path / name, whole(name)), 0, 5)
    frames = list(VideoSource(clip, pytest.fail))
    shown = [read_number(frame.image) for frame in frames]
    assert len(frames) == 120 and shown[40:] == list(range(40, 120))
    assert frames[0].repeated and shown[0] == next(
        n for n, f in enumerate(frames) if not f.repeated
    )


def sparse(name: str) -> dict:
    """A clip of 25 frames per second from which a recorder left out frames here and there."""
    numbers = [n for n in range(160) if n not in (5, 20, 21, 22, 60, 61, 90)][:120]
    tick = Fraction(1, 90000 if name.endswith(".ts") else 1000)
    return CLIPS[name] | dict(times=[Fraction(n, 25) for n in numbers], time_base=tick)


@pytest.mark.parametrize("name", [n for n in CLIPS if n not in ("late.mkv", "film.mkv")])
def test_frames_that_were_never_recorded_are_none(tmp_path, name):
    frames = list(VideoSource(make_clip(tmp_path / name, 120, **sparse(name)), pytest.fail))
    assert [read_number(frame.image) for frame in frames] == list(range(120))
    assert not any(frame.repeated for frame in frames)


def test_a_wrong_rate_in_the_header_invents_no_frames(tmp_path):
    path = make_clip(
        tmp_path / "c.mkv",
        60,
        rate=Fraction(50),
        times=[Fraction(n, 25) for n in range(60)],
        time_base=Fraction(1, 1000),
    )
    assert len(list(VideoSource(path, pytest.fail))) == 60
    frames = list(VideoSource(overwrite(path, 20, 30), pytest.fail))
    assert len(frames) == 60 and read_number(frames[-1].image) == 59


def test_where_the_rate_varies_a_hole_is_told(tmp_path):
    path = make_clip(
        tmp_path / "phone.mkv",
        120,
        options={"g": "12"},
        times=[Fraction(20 * n + n * n // 2 + 7 * (n % 3), 1000) for n in range(120)],
        time_base=Fraction(1, 1000),
    )
    assert len(list(VideoSource(path, pytest.fail))) == 120
    told: list[str] = []
    frames = list(VideoSource(overwrite(path, 50, 70), told.append))
    assert len(frames) < 120
    (warning,) = told
    assert str(path) in warning and "damaged; frames are missing" in warning
    assert "those after them have lower numbers" in warning


def copied(src: Path, dst: Path, **options: str) -> Path:
    """The same packets in another file."""
    with av.open(str(src)) as old, av.open(str(dst), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return dst


def test_a_fragment_that_is_lost(tmp_path):
    """As a camera that writes fragments has it, with a damaged index of one."""
    whole = make_clip(tmp_path / "whole.mp4", 120, options={"g": "12", "bf": "2"})
    path = copied(whole, tmp_path / "c.mp4", movflags="frag_keyframe+empty_moov")
    assert len(list(VideoSource(path, pytest.fail))) == 120
    data = bytearray(path.read_bytes())
    place = -1
    for _ in range(5):
        place = data.index(b"moof", place + 1)
    data[place : place + 60] = bytes(60)
    path.write_bytes(data)
    told: list[str] = []
    frames = list(VideoSource(path, told.append))
    assert [read_number(f.image) for f in frames[60:]] == list(range(60, 120))
    assert not told and {n for n, f in enumerate(frames) if f.repeated} <= {*range(36, 60)}
    path.write_bytes(data[: len(data) // 3])
    assert len(list(VideoSource(path, told.append))) < 60
    assert len(told) == 1 and ("may have held other" in told[0] or "promises" in told[0])


@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_transport_stream_with_padding(tmp_path, is_sparse):
    options = {"options": {"g": "12", "bf": "2"}}
    kind = sparse("a.ts") if is_sparse else options
    whole = make_clip(tmp_path / "whole.mp4", 120, **kind)
    path = copied(whole, tmp_path / "c.ts", muxrate="1000000")
    frames = list(VideoSource(path, pytest.fail))
    assert len(frames) == 120 and not any(frame.repeated for frame in frames)
    if not is_sparse:
        frames = list(VideoSource(overwrite(path, 20, 26), pytest.fail))
        assert len(frames) == 120 and read_number(frames[-1].image) == 119


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.97])
def test_a_gif_that_is_cut_off_is_told(tmp_path, kept):
    path = make_clip(tmp_path / "c.gif", 40, codec="gif", pix_fmt="rgb8")
    assert len(list(VideoSource(path, pytest.fail))) == 40
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    told: list[str] = []
    count = len(list(VideoSource(path, told.append)))
    assert 0 < count < 40
    path.write_bytes(data[:-1])  # between two frames, or before the next one
    assert len(list(VideoSource(path, told.append))) == 40
    for warning, number in zip(told, (count, 40), strict=True):
        assert str(path) in warning and f"other frames than the {number}" in warning


#: What a cut or a hole shows, by name: encoder options. None of these has an index.
CHAINS = {
    "a.mkv": dict(options={"g": "12", "bf": "2"}),
    "with sound.mkv": dict(options={"g": "12"}, sound="aac"),
    "vp9.webm": dict(codec="libvpx-vp9", options={"g": "12"}),
    "a.ts": dict(options={"g": "12", "bf": "2"}),
    "with sound.ts": dict(options={"g": "12"}, sound="aac"),
    "a.mpg": dict(codec="mpeg2video", options={"g": "12"}),
    "a.vob": dict(codec="mpeg2video", options={"g": "12", "bf": "2"}),
    "a.mxf": dict(codec="mpeg2video", options={"g": "12"}),
    "a.flv": dict(options={"g": "12", "bf": "2"}),
    "a.wmv": dict(codec="wmv2"),
}


@pytest.fixture(scope="module", params=CHAINS)
def chain(request, tmp_path_factory) -> Path:
    """A clip of 60 frames."""
    return make_clip(tmp_path_factory.mktemp("chain") / request.param, 60, **CHAINS[request.param])


def read(path: Path, data: bytes) -> tuple[int, int, list[str]]:
    """How many frames a file with ``data`` gives, how many of them are repeated, and warnings."""
    path.write_bytes(data)
    told: list[str] = []
    frames = list(VideoSource(path, told.append))
    return len(frames), sum(frame.repeated for frame in frames), told


@pytest.mark.parametrize("kept", [0.4, 0.95])
def test_a_clip_that_is_cut_off_is_told(tmp_path, chain, kept):
    data = chain.read_bytes()
    assert read(tmp_path / chain.name, data) == (60, 0, [])
    count, _, told = read(tmp_path / chain.name, data[: int(len(data) * kept) // 188 * 188 + 101])
    assert told and all(str(tmp_path / chain.name) in text for text in told)
    assert count == 60 or "may have held other" in told[-1] or "promises" in told[-1]


def test_bytes_that_are_missing_or_wrong_are_told(tmp_path, chain):
    """Wherever they are: no frame is lost without a repeated one in its place, or a word."""
    data = chain.read_bytes()
    for at in (0.3, 0.55, 0.9):
        place = int(len(data) * at)
        for before in (data[: place - 500], data[:place] + data[place - 300 : place]):
            try:
                count, repeated, told = read(tmp_path / chain.name, before + data[place:])
            except MediaError:
                continue
            shown = count == 60 and (repeated or chain.suffix == ".wmv")  # in its padding
            assert told or shown, (at, len(before), count)


@pytest.mark.parametrize("name", ["a.mkv", "vp9.webm", "a.ts", "a.mxf"])
def test_a_hole_at_the_end_is_told(tmp_path, name):
    clip = make_clip(tmp_path / name, 60, **CHAINS[name])
    with av.open(str(clip)) as container:
        place = sorted(packet.pos for packet in container.demux(video=0) if packet.size)[58]
    data = clip.read_bytes()
    count, repeated, told = read(clip, data[:place] + bytes(300) + data[place + 300 :])
    assert (count < 60 and told) or repeated


def test_a_live_webm_of_clusters_without_a_size(tmp_path):
    whole = make_clip(tmp_path / "w.webm", 60, codec="libvpx-vp9", options={"g": "12"})
    head, *clusters = whole.read_bytes().split(b"\x1f\x43\xb6\x75")
    clusters[-1] = clusters[-1].partition(b"\x1c\x53\xbb\x6b")[0]  # without the index
    unknown = b"\x01" + 7 * b"\xff"
    head = re.sub(rb"(?<=\x18\x53\x80\x67).{8}", unknown, head, flags=re.DOTALL)
    sizes = [9 - cluster[0].bit_length() for cluster in clusters]
    bodies = [c[size:] for c, size in zip(clusters, sizes, strict=True)]
    data = head + b"".join(b"\x1f\x43\xb6\x75" + unknown + body for body in bodies)
    path = tmp_path / "c.webm"
    assert read(path, data) == (60, 0, [])
    count, _, told = read(path, data[: len(data) * 2 // 3])
    assert count < 60 and ("may have held other" in told[0] or "promises" in told[0])


@pytest.mark.parametrize("size", [192, 204])
def test_transport_packets_with_what_goes_with_them(tmp_path, size):
    """A time before each packet, as camcorders write, or a checksum behind it, as in broadcasts."""
    data = make_clip(tmp_path / "a.ts", 60, **CHAINS["a.ts"]).read_bytes()
    packets = [data[n : n + 188] for n in range(0, len(data), 188)]
    before, after = (b"\x12\x34\x56\x78", b"") if size == 192 else (b"", bytes(16))
    path = tmp_path / "a.m2ts"
    assert read(path, b"".join(before + x + after for x in packets)) == (60, 0, [])
    del packets[-4]
    count, repeated, told = read(path, b"".join(before + x + after for x in packets))
    assert told or repeated or count == 60


def test_a_capture_that_begins_within_a_packet_is_whole(tmp_path):
    data = make_clip(tmp_path / "a.ts", 60, **CHAINS["a.ts"]).read_bytes()
    assert read(tmp_path / "b.ts", bytes(77) + data) == (60, 0, [])


def test_the_clock_of_damaged_packets_invents_no_frames(tmp_path):
    """Bytes that were removed let FFmpeg take one packet for an earlier one."""
    clip = make_clip(tmp_path / "c.mkv", 60, codec="ffv1")
    with av.open(str(clip)) as container:
        places = sorted(packet.pos for packet in container.demux(video=0) if packet.size)
    data = clip.read_bytes()
    clip.write_bytes(data[: places[20]] + data[places[26] :])
    frames = list(VideoSource(clip, lambda message: None))
    assert len(frames) == 60 and read_number(frames[-1].image) == 59


def test_a_bare_bitstream_tells_of_packets_without_a_frame(tmp_path):
    options = {"g": "12", "x265-params": "log-level=none"}
    clip = make_clip(tmp_path / "c.hevc", 60, codec="libx265", options=options)
    data = clip.read_bytes()
    assert read(clip, data) == (60, 0, [])
    place = len(data) // 3
    count, repeated, told = read(clip, data[:place] + bytes(500) + data[place + 500 :])
    assert (count == 60 and repeated) or "may have held other" in told[-1]


def transport(counter: int, *, stream: int = 256, anew: bool = False) -> bytes:
    """A packet of a transport stream; ``anew`` announces that its counter begins anew."""
    field = b"\x01\x80" if anew else b""
    head = struct.pack(">BHB", 0x47, stream, (0x30 if anew else 0x10) | counter % 16)
    return (head + field).ljust(188, bytes([counter]))


@pytest.mark.parametrize(
    ("packets", "places"),
    [
        ([transport(n) for n in range(40)], []),
        ([transport(n) for n in range(40) if n != 20], [20]),
        ([transport(n) for n in (0, 1, 1, 2, 3)], []),  # sent twice
        ([transport(n) for n in (0, 1, 17, 2, 3)], [2]),  # another one with the same number
        ([*map(transport, (0, 1)), transport(9, anew=True), transport(10)], []),
        ([transport(0), transport(7, stream=99), transport(1), transport(3, stream=99)], []),
        ([transport(0), b"\0" + transport(1)[1:], transport(2)], [1]),
        ([*map(transport, range(5)), transport(5)[:100]], [5]),
    ],
    ids=range(8),
)
def test_the_counters_of_transport_packets(tmp_path, packets, places):
    path = tmp_path / "x.ts"
    path.write_bytes(b"".join(packets))
    assert sorted({place // 188 for place in transport_breaks(path, 256)}) == places
