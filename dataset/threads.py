"""How many threads a reader may take."""

import torch

#: More do not decode faster: the file's own decoder has threads, too.
_MAX_THREADS = 4


def spare_threads() -> int:
    """A quarter of the cores that PyTorch uses, or none."""
    quarter = torch.get_num_threads() // 4
    return min(_MAX_THREADS, quarter) if quarter > 1 else 0
