"""How this process keeps the memory that it has freed."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""
LARGEST = 2**31 - 1


def keep_freed() -> None:
    """Make the C library keep large blocks for the next batch, instead of handing them back after every layer.

    The system clears each page that it gives out, which takes a tenth to a fifth of the time of training on a
    processor. C libraries without mallopt stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
