"""Time on a machine whose clock is wrong at first: what goes out is an age or a date, never 1970."""

from pathlib import Path

import pytest

from gateway import record
from gateway.clock import EpochClock, Eras, PiClock, write_whole
from gateway.sampler import Sample
from proximity import wire
from proximity.clock import Clock

BOOTED = 1_764_000_000.0  # when the machine of these tests started, in true time


class Machine:
    """A Pi: steady seconds since its start, and its clock once NTP came."""

    def __init__(self, era: str, now: float, offset: float | None = None) -> None:
        self.era, self._now, self._offset = era, now, offset

    def now(self) -> float:
        return self._now

    def offset(self) -> float | None:
        return self._offset


def sent(written: Machine, read: Machine, eras: Eras) -> wire.SightingsMessage | None:
    body = next(record.pack([Sample("eid:00", 12.5, -60.0, 2, None)], written))
    return record.message(body, "b", 1, read, eras)


ROW_SYNCED = wire.Row("eid:00", 1_764_000_012_500, -60.0, 2, None)


@pytest.mark.parametrize(
    ("written", "read", "learnt", "clock", "row", "at"),
    [
        # without NTP: an age, counted to the moment of sending
        (Machine("a", 13), Machine("a", 20.0), None, "unsynced", wire.Row("eid:00", 7500, -60.0, 2, None), None),
        # NTP came after it was written
        (Machine("a", 13), Machine("a", 20.0, BOOTED), None, "synced", ROW_SYNCED, 1_764_000_020_000),
        # restarted, after the clock had been set
        (Machine("a", 13, BOOTED), Machine("b", 3.0), None, "synced", ROW_SYNCED, None),
        # restarted, and it had been set after this was written
        (Machine("a", 13), Machine("b", 3.0, BOOTED + 99), BOOTED, "synced", ROW_SYNCED, 1_764_000_102_000),
    ],
)
def test_rows_are_dated_as_soon_as_they_can_be(
    written: Machine, read: Machine, learnt: float | None, clock: str, row: wire.Row, at: int | None
) -> None:
    eras = Eras(None)
    if learnt is not None:
        eras.learn("a", learnt)
    assert sent(written, read, eras) == wire.SightingsMessage("b", 1, clock, [row], sent=at)  # type: ignore[arg-type]


def test_rows_of_a_machine_that_never_knew_the_time_have_no_date() -> None:
    assert sent(Machine("a", 13), Machine("b", 3.0, BOOTED), Eras(None)) is None


def test_eras_are_written_down(tmp_path: Path) -> None:
    eras = Eras(tmp_path)
    for n in range(12):
        eras.learn(f"era{n}", BOOTED + n)
    eras.learn("era11", 0.0)  # the first word stands
    again = Eras(tmp_path)
    assert again.offset("era11") == BOOTED + 11
    assert again.offset("era3") is None  # long gone
    write_whole(tmp_path / "eras.json", b'{"era11": ')
    assert Eras(tmp_path).offset("era11") is None


def test_a_busy_second_is_cut_into_messages() -> None:
    samples = [Sample(f"mac:{n}", 1.0, -60.0, 1, None) for n in range(601)]
    bodies = list(record.pack(samples, EpochClock(lambda: 2.0)))
    messages = [record.message(body, "b", n, EpochClock(lambda: 2.0), Eras(None)) for n, body in enumerate(bodies)]
    assert [len(m.rows) for m in messages if m is not None] == [250, 250, 101]
    assert all(len(wire.encode(m)) < 32_000 for m in messages if m is not None)


def test_clocks() -> None:
    now = [100.0]
    fast = Clock(5.0, 20.0, steady=lambda: now[0])
    now[0] += 3
    assert fast() == 65.0
    pi = PiClock(trust=True)
    offset = pi.offset()
    assert offset is not None
    assert pi.now() + offset > BOOTED
    assert pi.era == PiClock().era
