"""What the C library keeps of the memory that was freed."""

import ctypes

#: The numbers by which glibc's ``mallopt`` knows what it sets; see malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: The most that glibc takes as the size of blocks that it gets and returns one by one.
_LARGEST = 32 * 2**20
#: So much may lie free at the end of the heap: what the network takes for a frame, and more.
_FREE = 2**30


def keep_heap() -> None:
    """Have all threads share one heap, which keeps what a frame took for the next frame.

    glibc gives each thread a heap of its own, which keeps what the thread freed. A frame is made by
    one thread and freed by another, so that these heaps grow for hundreds of frames, at 1080p to a
    third more than what is in use. One heap for all is as fast: frames are few, and large. And
    glibc returns the end of the heap to the system whenever much of it is free, only to get it
    back, page by page and cleared, for the next frame. Other C libraries stay as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS and musl; Windows
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, _FREE)
