"""What lies in the spool, and how it becomes a message. Pure.

A record keeps steady stamps and says of which era they are, because the time since the epoch may become known only
after it was written: a gateway that starts without NTP sends ages at first, and dates the same rows once it can.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from gateway.clock import Eras, Timebase
from gateway.sampler import Sample
from proximity import wire

MAX_ROWS = 250  # rows of one message: some 20 kB, well within what brokers take, and far from wire.MAX_PAYLOAD

Channel = Literal["sightings", "fixes"]


class SightingRecord(msgspec.Struct, array_like=True, frozen=True, tag="s"):
    """Rows of one sample, stamped in steady seconds of `era`."""

    era: str
    offset: float | None  # to the epoch, as known when it was written
    rows: list[tuple[str, float, float, int, float | None]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SightingRecord).decode


def pack(samples: Sequence[Sample], time: Timebase) -> Iterator[bytes]:
    """Samples as bodies for the spool, at most MAX_ROWS in each."""
    offset = time.offset()
    for first in range(0, len(samples), MAX_ROWS):
        rows = [(s.device, s.at, s.rssi, s.packets, s.power) for s in samples[first : first + MAX_ROWS]]
        yield _encode(SightingRecord(time.era, offset, rows))


def message(body: bytes, boot: str, seq: int, time: Timebase, eras: Eras) -> wire.SightingsMessage | None:
    """A spooled body as the message to send now. None: its clock was never set, so its rows have no date.

    Raises msgspec.MsgspecError when the body is no record of this version.
    """
    record = _decode(body)
    now, current = time.now(), time.offset()
    sent = None if current is None else _ms(now + current)
    if record.era != time.era:
        offset = eras.offset(record.era) if record.offset is None else record.offset
        if offset is None:
            return None
    else:
        offset = current
    if offset is None:
        rows = [wire.Row(d, max(0, _ms(now - at)), rssi, n, power) for d, at, rssi, n, power in record.rows]
        return wire.SightingsMessage(boot, seq, "unsynced", rows)
    rows = [wire.Row(d, _ms(at + offset), rssi, n, power) for d, at, rssi, n, power in record.rows]
    return wire.SightingsMessage(boot, seq, "synced", rows, sent=sent)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
