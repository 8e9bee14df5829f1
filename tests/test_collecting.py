"""Memory that nobody uses goes back to the system."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from proximity.collecting import give_back

PIECE, PIECES = 50_000, 2_000  # bytes; small enough that the C library takes them from its heap


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only the GNU C library gives memory back")
def test_holes_in_the_heap_are_given_back() -> None:
    pieces = [np.ones(PIECE, dtype=np.uint8) for _ in range(PIECES)]
    full = resident()
    kept = pieces[::100]  # so that the heap cannot simply end earlier
    del pieces
    give_back()
    assert resident() < full - PIECE * PIECES * 0.7
    assert all(one.all() for one in kept)


def test_another_c_library_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    give_back()
