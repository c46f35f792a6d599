"""Number of threads for readers."""

import torch

#: More threads do not read faster, as FFmpeg's decoders have threads of their own.
_MAX_THREADS = 4


def spare_threads() -> int:
    """A quarter of PyTorch's threads, up to 4; 0 if that is less than 2."""
    quarter = torch.get_num_threads() // 4
    return min(_MAX_THREADS, quarter) if quarter > 1 else 0
