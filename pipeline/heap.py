"""What the C library keeps of the memory that was freed."""

import ctypes

#: Blocks from this size on go back to the system: the planes of a 1080p frame in float32, and more.
_LARGE = 16 * 2**20
#: The number by which glibc's ``mallopt`` knows this threshold; see malloc.h.
_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Have large blocks of memory returned when they are freed.

    glibc raises the size from which it does so to 32 MiB once such blocks were freed, and keeps
    them in the heaps of each thread, which grow for hundreds of frames: at 1080p to a third more
    than what is in use. Other C libraries stay as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS and musl; Windows
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
