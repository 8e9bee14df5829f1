"""What is heard without a radio."""

import statistics
from pathlib import Path

import pytest

from gateway.sources import Heard, Replay, Simulated
from proximity.recordings import RecordingError

T = 1_764_000_000.0


def test_a_recording_moves_to_now_and_keeps_its_pace(tmp_path: Path) -> None:
    file = tmp_path / "walk.mbd"
    lines = ["1000.0,b827eb000001,aabbcc001122,-60", "1000.5,b827eb000002,aabbcc001122,-70",
             "1003.0,b827eb000001,aabbcc001122,-62"]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    source = Replay(file, T)
    assert list(source.due(T - 1)) == []
    device = "mac:aa:bb:cc:00:11:22"
    assert list(source.due(T + 1)) == [
        Heard("b827eb000001", device, -60.0, T), Heard("b827eb000002", device, -70.0, T + 0.5)]  # fmt: skip
    assert not source.done
    assert list(source.due(T + 2)) == []
    assert list(source.due(T + 60)) == [Heard("b827eb000001", device, -62.0, T + 3)]
    assert source.done
    assert source.receivers == {"b827eb000001", "b827eb000002"}
    with pytest.raises(RecordingError):
        Replay(tmp_path / "none", T)


def test_simulated_tags_are_the_same_for_the_same_seed() -> None:
    one, again, other = (list(Simulated(3, seed, T).due(T + 60)) for seed in (1, 1, 2))
    assert one == again != other


def test_simulated_tags_are_heard_as_tags_are() -> None:
    source = Simulated(4, 7, T)
    heard = [h for n in range(120) for h in source.due(T + n)]
    assert [h.at for h in heard] == sorted(h.at for h in heard)
    assert len({h.what for h in heard}) == 4
    rate = len(heard) / 4 / 119
    assert 0.7 * 0.8 / Simulated.INTERVAL < rate < 1.2 * 0.8 / Simulated.INTERVAL
    assert -95 < statistics.mean(h.rssi for h in heard) < -65  # a few metres to a few tens of them
    assert not source.done
