"""The sound of a clip, carried over to another file."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

#: Codecs that MP4 carries and players know; any other is encoded anew, as AAC.
_COPIED = frozenset(("aac", "ac3", "alac", "eac3", "mp3", "opus", "flac"))


class AudioTrack:
    """Feeds the audio of a file into a container beside its video.

    Args:
        path: A media file.
        container: Where the audio goes; its header must not be written yet.

    Raises:
        LookupError: The file has no audio.
    """

    def __init__(self, path: str | Path, container: OutputContainer):
        self._input = av.open(str(Path(path).absolute()))
        stream = self._input.streams.best("audio")
        if stream is None:
            self._input.close()
            raise LookupError(f"{path} has no audio")
        assert isinstance(stream, AudioStream)
        self._packets: Iterator[Packet]
        if stream.codec_context.codec.canonical_name in _COPIED:
            self._packets = self._copied(stream, container.add_stream_from_template(stream))
        else:
            self._packets = self._encoded(stream, container.add_stream("aac", stream.rate))
        self._container = container
        self._next: Packet | None = None

    def feed(self, until: Fraction | None) -> None:
        """Write the audio that starts before ``until`` (seconds); all the rest for None."""
        while True:
            packet = self._next or next(self._packets, None)
            self._next = packet
            if packet is None or packet.pts is None or packet.time_base is None:
                return
            if until is not None and packet.pts * packet.time_base >= until:
                return
            self._next = None
            self._container.mux_one(packet)

    def close(self) -> None:
        """Close the file that the audio comes from."""
        self._input.close()

    def _copied(self, stream: AudioStream, out: AudioStream) -> Iterator[Packet]:
        end: int | None = None
        shift = 0
        # Streams for broadcast repeat what MP4 says once, before each packet of AAC.
        is_adts = (
            stream.codec_context.codec.canonical_name == "aac"
            and not stream.codec_context.extradata
        )
        unwrap = BitStreamFilterContext("aac_adtstoasc" if is_adts else "null", stream, out)
        for demuxed in _until_damage(self._input.demux(stream)):
            for packet in unwrap.filter(demuxed) if demuxed.size else ():
                if packet.dts is None or packet.pts is None:
                    continue
                length = packet.duration or 0
                if end is not None and packet.dts + shift < end - length:
                    shift = end - packet.dts  # recordings were joined, and the clock starts again
                packet.dts += shift
                packet.pts += shift
                end = packet.dts + length
                packet.stream = out
                yield packet

    def _encoded(self, stream: AudioStream, out: AudioStream) -> Iterator[Packet]:
        for frame in _until_damage(self._input.decode(stream)):
            yield from out.encode(frame)
        yield from out.encode(None)


def _until_damage(items: Iterator) -> Iterator:
    """A broken-off file ends where it breaks off."""
    try:
        yield from items
    except FFmpegError:
        return
