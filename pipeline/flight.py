"""From the device to the host, while the device goes on with the next batch."""

import time

import torch
from torch import Tensor

#: A moment: on CUDA, which works on while the host is elsewhere, one in the device's own time.
Moment = float | torch.cuda.Event


class Landing:
    """Frames on their way to the host.

    On CUDA the copy is only begun: it waits for what makes the frames, on a stream of its own and
    into page-locked memory, and the device works on meanwhile. Elsewhere it is done at once.

    Args:
        frames: Of any shape, on any device.
        stream: The stream to copy on; None where there are none.
    """

    def __init__(self, frames: Tensor, stream: torch.cuda.Stream | None):
        self._done: torch.cuda.Event | None = None
        if stream is None or frames.device.type != "cuda":
            self._frames = frames.cpu()
            return
        self._frames = torch.empty_like(frames, device="cpu", pin_memory=True)
        stream.wait_stream(torch.cuda.current_stream(frames.device))
        with torch.cuda.stream(stream):
            self._frames.copy_(frames, non_blocking=True)
        frames.record_stream(stream)  # so that their memory is not used again before that
        self._done = stream.record_event()

    def wait(self) -> Tensor:
        """The frames, on the host."""
        if self._done is not None:
            self._done.synchronize()
        return self._frames


def now(device: torch.device) -> Moment:
    """This moment, between what a device was given before and what it is given next."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def seconds_between(start: Moment, end: Moment) -> float:
    """How much later ``end`` is; waits for it."""
    if isinstance(start, float):
        assert isinstance(end, float)
        return end - start
    assert isinstance(end, torch.cuda.Event)
    end.synchronize()
    return start.elapsed_time(end) / 1000
