"""What gateways are told of what is covered, and when."""

import pytest

from proximity import wire
from proximity.gateways import ACK_AFTER, ACK_EVERY, FEW, Gateways
from proximity.ingest.offsets import Boot, Covered


def test_many_gateways_are_told_together_and_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("proximity.gateways.time.monotonic", lambda: now)
    posted: list[tuple[str, int]] = []

    class Post:
        connected = True

        def post(self, topic: str, payload: bytes, retain: bool = False) -> None:
            assert retain
            posted.append((topic.split("/")[3], wire.decode(wire.AckedMessage, payload).seq))

    gateways = Gateways()
    gateways.writer = Post()
    many = [Boot("shop", f"g{i}", "b") for i in range(FEW + 1)]

    def told(*seqs: int, few: bool = False) -> list[tuple[str, int]]:
        posted.clear()
        for seq in seqs:
            gateways.acknowledge({boot: Covered(seq) for boot in (many[:2] if few else many)})
        return [(name, seq) for name, seq in posted if name in ("g0", "g1")]

    assert told(1) == [("g0", 1), ("g1", 1)]  # who was never told waits for nothing
    assert told(2, 3) == []
    assert told(1 + ACK_AFTER) == [("g0", 1 + ACK_AFTER), ("g1", 1 + ACK_AFTER)]
    assert told(2) == [("g0", 2), ("g1", 2)]  # sent again, so it has not heard
    assert told(3) == []
    now += ACK_EVERY
    assert told(4) == [("g0", 4), ("g1", 4)]
    assert told(5) == []
    gateways.say(everything=True)
    assert ("g0", 5) in posted
    assert told(6, few=True) == [("g0", 6), ("g1", 6)]
