"""What the C library keeps of the memory that was freed."""

import ctypes

#: Blocks from this size on go back to the system: the planes of a 1080p frame in float32, and more.
_LARGE = 16 * 2**20
#: The numbers by which glibc's ``mallopt`` knows what it sets; see malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def keep_heap_small() -> None:
    """Have large blocks of memory returned when they are freed, and the others used again.

    glibc raises the size from which it returns blocks to 32 MiB once such blocks were freed, and
    gives each thread a heap of its own, which keeps what the thread freed. A frame is made by one
    thread and freed by another, so that these heaps grow for hundreds of frames, at 1080p to a
    third more than what is in use. One heap for all is as fast: frames are few, and large. To get
    large blocks anew takes time, about a tenth at 1080p on two cores. Other C libraries stay as
    they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS and musl; Windows
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_ARENA_MAX, 1)
