"""`proximity bench latency`: what is told of hand-overs. The run itself is made by hand."""

import pytest

from proximity.bench.latency import _burst, _rows
from proximity.store.offers import HandOver

NOW = 1_764_155_040.0  # a tick ends here


@pytest.mark.parametrize(
    ("observed", "beyond"),
    [
        (0.0, 120.0),  # completed at the very end of a tick
        (-0.24, 120.0),  # somewhere within it
        (0.01, -130.0),  # in the next one: such a hand-over would have come before its time
    ],
)
def test_the_batch_interval_ends_with_the_tick_and_what_may_come_in_order(observed: float, beyond: float) -> None:
    handed = [HandOver(NOW + observed, NOW + 0.15, NOW + 0.22)] * 3
    told = {row.what: row.value for row in _rows(handed, "told")}
    assert told["beyond the batch interval: p50"] == pytest.approx(beyond, abs=0.01)
    assert told["… until the deciding turn began: p99"] == pytest.approx(beyond - 70.0, abs=0.01)
    assert told["… from then on: p99.9"] == pytest.approx(70.0, abs=0.01)
    assert told["whole, from the dwell's completion: p50"] == pytest.approx(220.0 - 1000 * observed, abs=0.01)


def test_a_burst_is_told_by_the_rate_at_which_it_went_out() -> None:
    made = [HandOver(NOW, NOW + n / 1000, NOW + 1 + n / 500) for n in range(1001)]
    row = _burst(made)
    assert row.value == pytest.approx(500.5, abs=0.5)
    assert "1,001 offers" in row.note
    assert "made within 0.8 s and handed over within 1.6 s; the longest wait was 2.0 s" in row.note
