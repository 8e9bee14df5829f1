"""Ephemeral ids: which beacon showed this Eddystone-EID.

Formula: Eddystone-EID, "EID Computation". A temporary key is AES-128(identity key, 11 × 00 ‖ FF ‖ 00 00 ‖ top 16 bits
of the beacon's clock); the id is the first 8 bytes of AES-128(temporary key, 11 × 00 ‖ K ‖ clock with its K lowest
bits cleared). The clock counts seconds in 32 bits.
"""

from collections.abc import Sequence
from typing import NamedTuple

from proximity.identity.addresses import encryptor

SPAN = 256.0  # s that one table serves before the next is made; a table costs about 20 µs a beacon
SLACK = 300.0  # s either side: a beacon's crystal drifts a second a day, and a gateway's spool may be minutes late
TABLES = 4  # live data and a few stretches of backlog side by side


class EidKey(NamedTuple):
    """One beacon's secret."""

    key: bytes  # 16 bytes
    exponent: int  # K: the id changes every 2**K seconds
    started: float  # seconds since the epoch at which the beacon's clock stood at zero


def ephemeral_id(key: bytes, exponent: int, clock: int) -> str:
    """16 hexadecimal digits that a beacon shows when its clock stands at `clock` seconds."""
    return _ids(key, exponent, [clock >> exponent << exponent])[0]


class EphemeralResolver:
    """Ephemeral ids to the index of the beacon that shows them about now."""

    def __init__(self, keys: Sequence[EidKey]) -> None:
        self._keys = list(keys)
        self._tables: dict[int, dict[str, int]] = {}

    def resolve(self, eid: str, now: float) -> int | None:
        """The index of the key for 16 hex digits seen at `now`, or None."""
        if not self._keys:
            return None
        span = int(now // SPAN)
        table = self._tables.get(span)
        if table is None:
            table = self._table(span)
            if len(self._tables) >= TABLES:
                del self._tables[next(iter(self._tables))]
            self._tables[span] = table
        return table.get(eid)

    def _table(self, span: int) -> dict[str, int]:
        table: dict[str, int] = {}
        for index, (key, exponent, started) in enumerate(self._keys):
            first = max(0, int(span * SPAN - SLACK - started))
            last = min(2**32 - 1, int((span + 1) * SPAN + SLACK - started))
            steps = [step << exponent for step in range(first >> exponent, (last >> exponent) + 1)]
            for eid in _ids(key, exponent, steps):
                table.setdefault(eid, index)
        return table


def _ids(key: bytes, exponent: int, clocks: Sequence[int]) -> list[str]:
    """The ids at clock values that are already rounded down; one cipher for all that share a temporary key."""
    ids: list[str] = []
    outer, inner, high = encryptor(key), None, -1
    for clock in clocks:
        if clock >> 16 != high or inner is None:
            high = clock >> 16
            inner = encryptor(outer.update(bytes(11) + b"\xff" + bytes(2) + high.to_bytes(2, "big")))
        ids.append(inner.update(bytes(11) + bytes([exponent]) + clock.to_bytes(4, "big"))[:8].hex())
    return ids
