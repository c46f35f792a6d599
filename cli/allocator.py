"""What the C library keeps of the memory that was freed."""

import ctypes
import os

#: The numbers by which glibc's ``mallopt`` knows what it sets; see malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: Blocks from this size on are got and returned one by one, those of PyTorch in huge pages.
_LARGE = 3 * 2**20
#: So much may lie free at the end of the heap: what the network takes for a frame, and more.
_FREE = 2**30


def configure_allocator() -> None:
    """Keep memory flat: threads share one heap, and large blocks go back when they are freed.

    glibc gives each thread a heap of its own, which keeps what the thread freed. A frame is made by
    one thread and freed by another, so that these heaps grow for hundreds of frames, at 1080p to a
    third more than what is in use. One heap for all is as fast: frames are few, and large.

    The holes that large blocks leave in it would grow, too. So these are returned to the system,
    and PyTorch gets them anew in huge pages, as NumPy does; in small ones that takes up to a tenth
    of the time. Call this before there are large tensors. Other C libraries stay as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS and musl; Windows
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_TRIM_THRESHOLD, _FREE)
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch's
