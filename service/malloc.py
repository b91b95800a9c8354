"""How glibc allocates the memory of a worker: kept for the next large body, returned to the system once a second.

By default glibc maps memory of 128 KiB and more anew each time, and the kernel's work on its pages took longer than to
receive a body of 3 MB. Each thread would also keep freed memory of its own.
"""

import ctypes
import functools

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of mallopt(3)


def tune() -> None:
    """Keep freed memory, up to 64 MiB and in one place, and map only what is larger than 8 MiB by itself."""
    if libc := _glibc():
        libc.mallopt(M_MMAP_THRESHOLD, 2**23)
        libc.mallopt(M_TRIM_THRESHOLD, 2**26)
        libc.mallopt(M_ARENA_MAX, 1)


def return_free_memory() -> None:
    """Return what is free to the system; called once a second. It takes up to 3 ms after large bodies, else 0.1."""
    if libc := _glibc():
        libc.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """The C library; None if it is another one, such as musl."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "malloc_trim") else None
