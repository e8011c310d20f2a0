"""How large tensors are allocated on a CPU while training."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc
_KEPT, _PAD, _LARGEST = 1 << 30, 1 << 28, 1 << 25  # bytes; glibc takes no threshold above 32 MiB


def keep_pages() -> None:
    """Let glibc keep freed memory of this process for the next tensor instead of returning it to the kernel.

    By default each tensor above 128 kB is mapped anew and its pages are cleared one fault at a time, which took a
    fifth of a training step at 128 px. Where the C library is another, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for key, n_bytes in ((_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, _PAD), (_M_MMAP_THRESHOLD, _LARGEST)):
            mallopt(key, n_bytes)
