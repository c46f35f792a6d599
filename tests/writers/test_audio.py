"""The sound of a clip beside its composited pictures."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import pytest
import torch
from footage import KnownNetwork, make_clip, make_plate, read_video

from inference_video import matte_video
from writers import VideoWriter, WriteError
from writers.audio import AudioTrack

HEIGHT, WIDTH = footage.SIZE


def add_sound(
    path: Path,
    pictures: Path,
    codec: str,
    *,
    rate: int = 48000,
    layout: str = "mono",
    seconds: int = 2,
    delay: Fraction | int = 0,
) -> Path:
    """Copy ``pictures`` beside a tone per channel, silent in every second half of a second."""
    with av.open(str(pictures)) as source, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        sound = container.add_stream(codec, rate, layout=layout)
        sound.codec_context.options = {"strict": "experimental"}
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        channels = av.AudioLayout(layout).nb_channels
        time = np.arange(seconds * rate) / rate
        tones = [np.sin(time * 2 * np.pi * 220 * (c + 1)) for c in range(channels)]
        wave = (np.stack(tones) * 0.3 * (time % 1 < 0.5)).astype(np.float32)
        for start in range(0, seconds * rate, 1024):
            block = np.ascontiguousarray(wave[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = start + round(delay * rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


@pytest.fixture
def pictures(tmp_path) -> Path:
    return make_clip(tmp_path / "pictures.mp4", 50)


def write(tmp_path: Path, clip: Path, frames: int = 50) -> tuple[Path, list[str]]:
    """Write ``frames`` pictures with the sound of ``clip``; the file, and the warnings."""
    warnings: list[str] = []
    path = tmp_path / "x.mp4"
    with VideoWriter(path, 25, WIDTH, HEIGHT, audio=clip, warn=warnings.append) as writer:
        writer.add_batch(torch.zeros(frames, 3, HEIGHT, WIDTH))
    assert len(read_video(path)[0]) == frames
    return path, warnings


def packets_of(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.size]
        return [(p.pts * p.time_base, bytes(p)) for p in packets]


def samples_of(path: Path, rate: int = 8000) -> np.ndarray:
    """The sound of ``path`` as (C, N), each sample at its time."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", rate=rate)
        frames = [f for p in container.decode(audio=0) for f in resampler.resample(p)]
    start = [round(f.pts * f.time_base * rate) for f in frames]
    wave = np.zeros((frames[0].layout.nb_channels, start[-1] + frames[-1].samples))
    for at, frame in zip(start, frames, strict=True):
        if at >= 0:
            wave[:, at : at + frame.samples] = frame.to_ndarray()
    return wave


def loudness(path: Path) -> list[float]:
    """RMS of every 50 ms of the first channel."""
    wave = samples_of(path)[0]
    blocks = wave[: wave.size // 400 * 400].reshape(-1, 400)
    return np.sqrt((blocks**2).mean(axis=1)).tolist()


def assert_beats(path: Path, start: int = 0, end: int = 40, skip: tuple[int, ...] = ()) -> None:
    """Half a second of tone and half a second of silence by turns, except for blocks ``skip``."""
    loud = loudness(path)
    assert len(loud) >= end - 1
    for block in range(start, min(end, len(loud))):
        if block in skip or block % 10 in (0, 9):  # an edge may be blurred
            continue
        level = 0.3 / np.sqrt(2) if block % 20 < 10 else 0
        assert loud[block] == pytest.approx(level, abs=0.04), block


def damage(path: Path, first: int, count: int = 1) -> None:
    """Overwrite packets of the sound, from number ``first`` on, where they lie in the file."""
    data = bytearray(path.read_bytes())
    for _, packet in packets_of(path)[first : first + count]:
        at = data.find(packet)
        assert at > 0
        data[at : at + len(packet)] = b"\xff" * len(packet)
    path.write_bytes(data)


def test_sound_begins_in_its_place_whatever_the_tick_of_the_pictures(tmp_path, pictures):
    delay = Fraction(2155, 1000)
    clip = add_sound(tmp_path / "late.mov", pictures, "pcm_s16le", delay=delay)
    path = tmp_path / "x.mp4"
    rate = Fraction(25)
    with VideoWriter(path, rate, WIDTH, HEIGHT, time_base=1 / rate, audio=clip) as writer:
        writer.add_batch(torch.zeros(100, 3, HEIGHT, WIDTH))
    begins = [float(np.argmax(np.abs(samples_of(x)[0]) > 0.03) / 8000) for x in (clip, path)]
    assert begins[0] == pytest.approx(float(delay), abs=0.004)
    assert begins[1] == pytest.approx(begins[0], abs=0.002)


def test_a_run_copies_sound_packet_for_packet(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 50, sound="aac")
    plate = footage.make_plate(tmp_path / "plate.png")
    checkpoint = footage.make_checkpoint(tmp_path / "half.pth")
    result = matte_video(
        video_src=clip,
        video_bgr=plate,
        output_dir=tmp_path / "out",
        output_types=["com", "pha"],
        output_format="video",
        model_checkpoint=checkpoint,
        device="cpu",
    )
    assert result.warnings == []
    assert len(packets_of(clip)) > 90
    assert packets_of(tmp_path / "out/com.mp4") == packets_of(clip)
    with av.open(str(tmp_path / "out/pha.mp4")) as container:
        assert not container.streams.audio, "sound is for com alone"


def test_a_run_tells_of_lost_sound_and_finishes(tmp_path, pictures):
    clip = add_sound(tmp_path / "clip.mkv", pictures, "vorbis", layout="stereo")
    damage(clip, 30)
    result = matte_video(
        video_src=clip,
        video_bgr=footage.make_plate(tmp_path / "plate.png"),
        output_dir=tmp_path / "out",
        output_format="video",
        model_checkpoint=footage.make_checkpoint(tmp_path / "half.pth"),
        device="cpu",
    )
    assert result.frames == 50
    assert [w for w in result.warnings if "sound" in w] == [
        f"{clip}: 1 damaged part of the sound left out"
    ]


@pytest.mark.parametrize(
    ("codec", "suffix", "rate", "layout"),
    [
        ("aac", ".mp4", 48000, "mono"),
        ("aac", ".mkv", 44100, "5.1"),
        ("flac", ".mkv", 192000, "stereo"),
        ("pcm_s16le", ".mkv", 48000, "mono"),
        ("pcm_s16le", ".mkv", 44100, "stereo"),
        ("pcm_s16le", ".mkv", 48000, "5.1"),
        ("pcm_s16le", ".mkv", 48000, "5.1(side)"),
        ("pcm_s16le", ".mov", 192000, "mono"),
        ("pcm_s24le", ".mkv", 192000, "5.1"),
        ("pcm_s16le", ".mkv", 37000, "mono"),
        ("vorbis", ".mkv", 48000, "stereo"),
        ("mp2", ".ts", 48000, "mono"),
    ],
)
def test_channels_stay_as_they_are(tmp_path, pictures, codec, suffix, rate, layout):
    clip = add_sound(tmp_path / f"clip{suffix}", pictures, codec, rate=rate, layout=layout)
    written, warnings = write(tmp_path, clip)
    assert warnings == []
    with av.open(str(written)) as container:
        (sound,) = container.streams.audio
        assert sound.layout.nb_channels == av.AudioLayout(layout).nb_channels
        if layout in ("mono", "stereo", "5.1"):
            assert sound.layout.name == layout
        highest = 192000 if codec == "flac" else 96000
        assert sound.rate == {37000: 32000}.get(rate, min(rate, highest))
    if suffix != ".ts":  # whose clock starts late
        assert_beats(written)
    for number, channel in enumerate(samples_of(written)):
        wave = channel[800:3200]  # a tone
        peak = np.abs(np.fft.rfft(wave)).argmax() * 8000 / 2400
        if not (layout.startswith("5.1") and number == 3):  # which is for bass alone
            assert peak == pytest.approx(220 * (number + 1), abs=20), "a tone for each channel"


@pytest.mark.parametrize("first", [0, 30, 80])
def test_damaged_packets_leave_the_rest_in_time(tmp_path, pictures, first):
    clip = add_sound(tmp_path / "clip.mkv", pictures, "vorbis", layout="stereo")
    damage(clip, first, 3)
    at = int(packets_of(clip)[first][0] * 20)
    written, warnings = write(tmp_path, clip)
    assert warnings == [f"{clip}: 3 damaged parts of the sound left out"]
    assert_beats(written, skip=tuple(range(at - 1, at + 4)))


def broadcast(path: Path, hours: int) -> Path:
    """A transport stream whose clock has run for some hours."""
    made = make_clip(path.with_suffix(".mp4"), 30, sound="aac")
    with av.open(str(made)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                shift = round(3600 * hours / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return path


@pytest.mark.parametrize("suffix, hours", [(".ts", 0), (".ts", 10), (".mpg", 0)])
def test_a_clock_that_runs_on_by_itself_begins_at_0(tmp_path, suffix, hours):
    late = tmp_path / f"late{suffix}"
    if suffix == ".ts":
        broadcast(late, hours)
    else:
        make_clip(late, 30, codec="mpeg2video", sound="mp2", options={"b": "3M"})
    result = matte_video(
        video_src=late,
        video_bgr=make_plate(tmp_path / "plate.png"),
        output_dir=tmp_path / "out",
        network=KnownNetwork(),
        device="cpu",
    )
    assert result.frames == 30
    begins = []
    for path in (late, tmp_path / "out/com.mp4"):
        with av.open(str(path)) as container:
            streams = container.streams.video[0], container.streams.audio[0]
            begins.append([stream.start_time * stream.time_base for stream in streams])
    old, new = begins
    assert min(old) > 0 and old[0] == pytest.approx(3600 * hours, abs=2)
    assert min(new) == 0
    assert new[0] - new[1] == pytest.approx(old[0] - old[1], abs=0.001)
    with av.open(str(tmp_path / "out/com.mp4")) as container:
        assert container.duration / av.time_base < 3


@pytest.mark.parametrize("rates", [(48000, 44100), (32000, 48000)])
def test_joined_recordings_may_differ_in_rate(tmp_path, rates):
    short = make_clip(tmp_path / "short.mp4", 50)
    parts = [
        add_sound(tmp_path / f"{rate}.ts", short, "mp2", rate=rate).read_bytes() for rate in rates
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(parts))
    written, warnings = write(tmp_path, both, 100)
    assert warnings == []
    wave = samples_of(written)[0]
    wave = wave[np.flatnonzero(np.abs(wave) > 0.1)[0] :]  # the clock of a broadcast starts late
    assert wave.size / 8000 == pytest.approx(4, abs=0.2)
    for second in (1, 3):
        tone = wave[second * 8000 : second * 8000 + 4000]
        assert np.abs(np.fft.rfft(tone, 8000)).argmax() == pytest.approx(220, abs=3)


def test_joined_recordings_of_one_format_are_copied_whole(tmp_path):
    part = add_sound(tmp_path / "part.ts", make_clip(tmp_path / "short.mp4", 50), "aac")
    both = tmp_path / "both.ts"
    both.write_bytes(part.read_bytes() * 3)
    written, warnings = write(tmp_path, both, 150)
    assert warnings == []
    wave = samples_of(written)[0]
    wave = wave[np.flatnonzero(np.abs(wave) > 0.1)[0] :]  # the clock of a broadcast starts late
    assert wave.size / 8000 == pytest.approx(6, abs=0.2)
    loud = [np.abs(wave[round(8000 * t) :][:800]).max() > 0.1 for t in np.arange(0.2, 5.5, 0.5)]
    assert loud == [True, False] * 5 + [True], "half a second of tone, and half one of silence"


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_an_hour_without_sound(tmp_path, codec):
    """Of a recorder that was paused: nothing is filled in, and all is where it was."""
    times = [Fraction(n, 25) + 3600 * (n >= 25) for n in range(50)]
    pictures = make_clip(tmp_path / "p.mkv", 50, times=times, time_base=Fraction(1, 1000))
    whole, clip = add_sound(tmp_path / "w.mkv", pictures, codec), tmp_path / "clip.mkv"
    with av.open(str(whole)) as old, av.open(str(clip), "w") as new:
        outs = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        packets = [packet for packet in old.demux() if packet.dts is not None]
        for packet in packets:
            if packet.stream.type == "audio" and packet.pts * packet.time_base >= 1:
                packet.pts += round(3600 / packet.time_base)
                packet.dts += round(3600 / packet.time_base)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            packet.stream = outs[packet.stream.index]
            new.mux(packet)
    warnings: list[str] = []
    path = tmp_path / "x.mp4"
    writer = VideoWriter(
        path, 25, WIDTH, HEIGHT, audio=clip, warn=warnings.append, timestamps=iter(times)
    )
    with writer:
        writer.add_batch(torch.zeros(50, 3, HEIGHT, WIDTH))
    assert warnings == [] and path.stat().st_size < 100_000
    placed = [float(time) for time, _ in packets_of(path)]
    assert sum(time < 2 for time in placed) == pytest.approx(47, abs=3)
    after = [time for time in placed if time > 2]
    assert len(after) == pytest.approx(47, abs=3)
    assert all(3600.9 < time < 3602.1 for time in after)


@pytest.mark.parametrize("codec", ["aac", "ac3", "eac3", "libmp3lame"])
def test_joined_recordings_that_cannot_be_copied_leave_the_pictures_whole(tmp_path, codec):
    short = make_clip(tmp_path / "short.mp4", 50)
    parts = [
        add_sound(tmp_path / f"{rate}.ts", short, codec, rate=rate, layout=layout).read_bytes()
        for rate, layout in ((48000, "mono"), (44100, "stereo"), (48000, "mono"))
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(parts))
    write(tmp_path, both, 150)


def test_a_clip_without_sound_has_none_and_nothing_is_said(tmp_path, pictures):
    written, warnings = write(tmp_path, pictures)
    assert warnings == []
    with av.open(str(written)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("codec", ["vorbis", "pcm_s16le", "flac"])
@pytest.mark.parametrize("kept", [0.4, 0.9])
def test_sound_that_breaks_off_leaves_the_pictures_whole(tmp_path, pictures, codec, kept):
    layout = "stereo" if codec == "vorbis" else "mono"
    whole = add_sound(tmp_path / "whole.mkv", pictures, codec, layout=layout)
    clip = tmp_path / "clip.mkv"
    data = whole.read_bytes()
    clip.write_bytes(data[: int(len(data) * kept)])
    written, _ = write(tmp_path, clip)
    assert len(samples_of(written)[0]) < 8000 * 2.2


def test_sound_that_is_noise_leaves_the_pictures_whole(tmp_path, pictures):
    clip = add_sound(tmp_path / "clip.mkv", pictures, "vorbis", layout="stereo")
    count = len(packets_of(clip))
    damage(clip, 0, count)
    _, warnings = write(tmp_path, clip)
    assert len(warnings) == 1 and f"{clip}: " in warnings[0] and "damaged parts" in warnings[0]


@pytest.mark.parametrize("codec", ["aac", "ac3", "eac3"])
def test_a_run_that_stops_before_the_sound_begins_is_closed(tmp_path, codec):
    pictures = make_clip(tmp_path / "pictures.mp4", 10)
    clip = add_sound(tmp_path / "clip.mkv", pictures, codec, delay=1)
    assert packets_of(clip)[0][0] > 0.9
    writer = VideoWriter(tmp_path / "x.mp4", 25, WIDTH, HEIGHT, audio=clip)
    with pytest.raises(KeyboardInterrupt), writer:
        writer.add_batch(torch.zeros(5, 3, HEIGHT, WIDTH))
        raise KeyboardInterrupt
    assert len(read_video(tmp_path / "x.mp4")[0]) == 5


@pytest.mark.parametrize("codec", ["aac", "ac3", "eac3", "flac", "alac", "libmp3lame", "libopus"])
@pytest.mark.parametrize(("first", "count"), [(0, 3), (12, 5), (0, 999)])
def test_damaged_sound_to_be_copied_leaves_the_pictures_whole(
    tmp_path, pictures, codec, first, count
):
    clip = add_sound(tmp_path / "clip.mkv", pictures, codec)
    damage(clip, first, count)
    _, warnings = write(tmp_path, clip)
    if codec == "ac3" and first:
        assert warnings == [f"{clip}: 5 damaged parts of the sound left out"]


def test_sound_without_a_decoder_is_told(tmp_path, pictures):
    clip = add_sound(tmp_path / "clip.mkv", pictures, "pcm_s16le")
    clip.write_bytes(clip.read_bytes().replace(b"A_PCM/INT/LIT", b"A_NEVER/HEARD"))
    written, warnings = write(tmp_path, clip)
    assert warnings == [f"{clip}: no sound: there is no decoder for it"]
    with av.open(str(written)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("content", [None, b"", b"no media at all" * 100])
def test_a_file_that_cannot_be_opened_is_told(tmp_path, content):
    clip = tmp_path / "clip.mp4"
    if content is not None:
        clip.write_bytes(content)
    _, warnings = write(tmp_path, clip)
    assert len(warnings) == 1 and warnings[0].startswith(f"{clip}: no sound: ")


def test_a_packet_without_a_time_ends_nothing(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", 50, sound="aac")
    copied = AudioTrack._copied

    def with_a_timeless_packet(self, *args):
        for number, packet in enumerate(copied(self, *args)):
            if number == 20:
                packet.pts = None
            yield packet

    monkeypatch.setattr(AudioTrack, "_copied", with_a_timeless_packet)
    written, warnings = write(tmp_path, clip)
    assert warnings == [f"{clip}: 1 damaged part of the sound left out"]
    assert len(packets_of(written)) == len(packets_of(clip)) - 1


def test_sound_that_fails_in_a_new_way_is_told_and_leaves_the_pictures_whole(
    tmp_path, pictures, monkeypatch
):
    clip = add_sound(tmp_path / "clip.mkv", pictures, "pcm_s16le")
    resample = av.AudioResampler.resample

    class Broken:
        def __init__(self, *args):
            self.inner, self.left = av.audio.resampler.AudioResampler(*args), 20

        def resample(self, frame):
            self.left -= 1
            if not self.left:
                raise ValueError("as nobody foresaw")
            return resample(self.inner, frame)

    monkeypatch.setattr(av, "AudioResampler", Broken)
    _, warnings = write(tmp_path, clip)
    assert warnings == [f"{clip}: the sound ends early: as nobody foresaw"]


def test_every_track_is_carried_over_and_that_which_players_choose_comes_first(tmp_path, pictures):
    parts = [
        add_sound(tmp_path / f"{codec}.mkv", pictures, codec, layout=layout)
        for codec, layout in (("pcm_s16le", "mono"), ("aac", "stereo"))
    ]
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as container:
        inputs = [av.open(str(path)) for path in (pictures, *parts)]
        streams = [inputs[0].streams.video[0], *(file.streams.audio[0] for file in inputs[1:])]
        outs = [container.add_stream_from_template(stream) for stream in streams]
        outs[2].disposition = av.stream.Disposition.default
        outs[1].disposition = av.stream.Disposition(0)
        packets = [
            (packet.dts * packet.time_base, packet, out)
            for file, stream, out in zip(inputs, streams, outs, strict=True)
            for packet in file.demux(stream)
            if packet.dts is not None
        ]
        for _, packet, out in sorted(packets, key=lambda item: item[0]):
            packet.stream = out
            container.mux(packet)
    path, warnings = write(tmp_path, clip)
    assert warnings == []
    with av.open(str(path)) as container:
        assert [stream.layout.name for stream in container.streams.audio] == ["stereo", "mono"]
        for stream in container.streams.audio:
            sound = [frame.to_ndarray() for frame in container.decode(stream)]
            container.seek(0)
            assert 1.9 < sum(part.shape[1] for part in sound) / 48000 < 2.1
            assert max(abs(part).max() for part in sound) > 0.2


def test_audio_is_cut_where_a_stopped_run_ends(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 100, sound="aac")
    video = VideoWriter(tmp_path / "x.mp4", 25, WIDTH, HEIGHT, audio=clip)
    with pytest.raises(KeyboardInterrupt), video:
        video.add_batch(torch.zeros(25, 3, HEIGHT, WIDTH))
        raise KeyboardInterrupt
    assert len(read_video(tmp_path / "x.mp4")[0]) == 25
    assert 0.9 < float(packets_of(tmp_path / "x.mp4")[-1][0]) <= 1.0


def test_a_failing_end_closes_the_file_and_keeps_the_first_error(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", 50, sound="aac")
    writer = VideoWriter(tmp_path / "x.mp4", 25, WIDTH, HEIGHT, audio=clip)
    writer.add_batch(torch.zeros(50, 3, HEIGHT, WIDTH))
    writer._pool.shutdown(wait=True)
    encode = writer._stream.encode

    class Broken:
        def encode(self, picture):
            encode(picture)
            raise av.error.ExternalError(1, "the encoder broke")

    monkeypatch.setattr(writer, "_stream", Broken())
    with pytest.raises(WriteError, match="the encoder broke"):
        writer.close()
    shutil.copy(tmp_path / "x.mp4", tmp_path / "copy.mp4")  # under its name, and an index in it
    assert packets_of(tmp_path / "copy.mp4")[:10] == packets_of(clip)[:10]
