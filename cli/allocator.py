"""Settings of the C library's memory allocator."""

import ctypes
import os

#: Parameter numbers of glibc's ``mallopt``; see malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: Bytes from which a block is mapped and unmapped by itself; PyTorch's blocks use huge pages.
_MIN_MAPPED_BYTES = 3 * 2**20
#: Free bytes at the end of the heap that are kept: more than the network takes for a frame.
_MAX_FREE_BYTES = 2**30


def configure_allocator() -> None:
    """Keep memory flat: one heap for all threads, and large blocks returned when they are freed.

    By default glibc gives each thread a heap of its own, which keeps what that thread freed. A
    frame is allocated by one thread and freed by another, so these heaps grow for hundreds of
    frames, at 1080p to a third more than what is in use. One heap is as fast: frames are few and
    large.

    The holes that large blocks leave in that heap would grow, too, so these blocks go back to the
    system, and PyTorch gets new ones in huge pages, as NumPy does; small pages cost up to a tenth
    of the time. Call this before there are large tensors. It does nothing with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS and musl; Windows
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, _MIN_MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _MAX_FREE_BYTES)
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch's huge pages
