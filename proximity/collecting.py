"""The garbage collector, set for a process that makes many short-lived objects in bulk; and what it leaves free."""

import contextlib
import ctypes
import gc

ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def collect_seldom() -> None:
    """What is there by now stays: it is not looked at any more. The rest is looked at after 100,000 new objects in
    place of 700, because a batch makes as many geometries, and each look would go through all of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def share_heaps() -> None:
    """Two heaps for all threads together. GNU's library gives each thread its own, and each keeps what it has freed:
    some 40 MB in a service with ten threads, most of which wait for one another anyway. Call it before they start."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(ARENA_MAX, 2)


def give_back() -> None:
    """Give the system what is free in the heap. The C library keeps it, because columns that grew left holes between
    others: a third of what a process seems to hold. It takes 5 ms for 100,000 devices. Only GNU's library has it."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
