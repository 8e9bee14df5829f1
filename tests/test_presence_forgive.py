"""Dwells that forgive a short time away: told once, counted from the first enter."""

import pytest

from proximity.model import DwellThreshold, Transition
from proximity.presence import checkpoint
from proximity.presence.engine import Engine
from proximity.site.model import Site
from tests.presence_shop import PHONE, T0, circle, fix, run, shop, without

FORGIVING = {("shop", "park"): frozenset({DwellThreshold(60.0, 15.0)})}
INSIDE, OUTSIDE = 0.0, 200.0


def timeline(*places: tuple[float, float], thresholds: object = FORGIVING, end: float = 400.0) -> list[Transition]:
    """Transitions of a phone that is seen so many seconds after the start, so many metres east of the park."""
    engine = Engine([shop(circle("park", 60))], thresholds)  # type: ignore[arg-type]
    return run(engine, end, [fix(second, east) for second, east in places]).transitions


def happened(transitions: list[Transition]) -> list[tuple[float, str]]:
    return [(one.at - T0, one.kind) for one in transitions]


def test_a_short_time_away_does_not_begin_the_count_anew() -> None:
    found = timeline((0, INSIDE), (20, OUTSIDE), (35, INSIDE), (100, INSIDE))
    assert happened(found) == [(0, "enter"), (23, "exit"), (35, "enter"), (60, "dwell")]
    first, _, second, dwell = found
    assert first.visit != second.visit == dwell.visit
    assert (dwell.dwell, dwell.forgive, dwell.started) == (60.0, 15.0, second.started)


def test_a_longer_time_away_does() -> None:
    found = timeline((0, INSIDE), (20, OUTSIDE), (39, INSIDE), (120, INSIDE))
    assert happened(found) == [(0, "enter"), (23, "exit"), (39, "enter"), (99, "dwell")]


def test_the_bound_itself_is_forgiven() -> None:
    found = timeline((0, INSIDE), (20, OUTSIDE), (38, INSIDE), (120, INSIDE))
    assert happened(found)[-1] == (60, "dwell")


def test_what_falls_due_while_away_is_told_at_the_return() -> None:
    found = timeline((0, INSIDE), (54, OUTSIDE), (65, INSIDE), (200, INSIDE))
    assert happened(found) == [(0, "enter"), (57, "exit"), (65, "enter"), (65, "dwell")]


def test_what_falls_due_while_away_is_not_told_without_a_return() -> None:
    assert happened(timeline((0, INSIDE), (54, OUTSIDE), (300, OUTSIDE))) == [(0, "enter"), (57, "exit")]


def test_it_is_told_once_however_often_the_shopper_steps_out() -> None:
    ways = [(0, INSIDE), (70, OUTSIDE), (80, INSIDE), (100, OUTSIDE), (110, INSIDE), (200, INSIDE)]
    assert [kind for _, kind in happened(timeline(*ways))].count("dwell") == 1
    again = [*ways, (210, OUTSIDE), (240, INSIDE), (350, INSIDE)]
    assert happened(timeline(*again))[-2:] == [(240, "enter"), (300, "dwell")]


def test_a_threshold_that_forgives_and_one_that_does_not_are_two() -> None:
    both = {("shop", "park"): frozenset({DwellThreshold(60.0), DwellThreshold(60.0, 15.0)})}
    found = timeline((0, INSIDE), (20, OUTSIDE), (35, INSIDE), (100, INSIDE), thresholds=both)
    dwells = [one for one in found if one.kind == "dwell"]
    assert [(one.at - T0, one.forgive) for one in dwells] == [(60, 15.0), (95, 0.0)]
    together = [one for one in timeline((0, INSIDE), (100, INSIDE), thresholds=both) if one.kind == "dwell"]
    assert len({one.id for one in together}) == 2


@pytest.mark.parametrize("restart", [10.0, 25.0, 36.0, 58.0])
def test_the_count_survives_a_restart(restart: float) -> None:
    rows = [fix(0, INSIDE), fix(20, OUTSIDE), fix(35, INSIDE), fix(100, INSIDE)]
    site = shop(circle("park", 60))
    engine = Engine([site], FORGIVING)
    found = run(engine, restart, [one for one in rows if one.at < T0 + restart]).transitions
    restarted = Engine([site], FORGIVING)
    restarted.restore(engine.checkpoint())
    found += run(restarted, 400, [one for one in rows if one.at >= T0 + restart]).transitions
    assert found == timeline((0, INSIDE), (20, OUTSIDE), (35, INSIDE), (100, INSIDE))


@pytest.mark.parametrize(("now", "wanted"), [(30.0, [60.0]), (80.0, [])])
def test_a_threshold_set_later_tells_only_what_is_to_come(now: float, wanted: list[float]) -> None:
    engine = Engine([shop(circle("park", 60))])
    run(engine, now, [fix(0, INSIDE)])
    engine.set_thresholds(FORGIVING)
    found = run(engine, 300, [fix(100, INSIDE), fix(120, OUTSIDE), fix(130, INSIDE), fix(250, INSIDE)]).transitions
    assert [one.at - T0 for one in found if one.kind == "dwell"] == wanted


def test_a_threshold_taken_away_is_not_told() -> None:
    engine = Engine([shop(circle("park", 60))], FORGIVING)
    run(engine, 30, [fix(0, INSIDE)])
    engine.set_thresholds({})
    assert run(engine, 300, [fix(200, INSIDE)]).transitions == []


def counts(engine: Engine) -> int:
    return len(checkpoint.unpack(engine.checkpoint())["ledger"]["chains"])


def test_what_nobody_can_come_back_to_is_given_back() -> None:
    engine = Engine([shop(circle("park", 60))], FORGIVING)
    crowd = [fix(0.01 * i, INSIDE, device=f"owntracks:{i}/phone") for i in range(100)]
    gone = [fix(20 + 0.01 * i, OUTSIDE, device=f"owntracks:{i}/phone") for i in range(100)]
    run(engine, 60, crowd, gone)
    assert counts(engine) == 100
    run(engine, 1000, [fix(10.0 * i, OUTSIDE) for i in range(10, 90)])
    assert counts(engine) == 0


def test_nothing_is_counted_for_who_was_erased_nor_for_a_zone_that_is_gone() -> None:
    site: Site = shop(circle("park", 60))
    engine = Engine([site], FORGIVING)
    run(engine, 10, [fix(0, INSIDE), fix(0, INSIDE, device="owntracks:bob/phone")])
    engine.forget("ada", T0 + 10)
    assert counts(engine) == 1
    engine.set_thresholds({})  # as a rule set without the zone brings it
    engine.set_sites([without(site, "park")], T0 + 20)
    assert counts(engine) == 0
    assert PHONE not in repr(checkpoint.unpack(engine.checkpoint()))
