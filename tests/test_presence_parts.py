"""The table of visits, the simplest locator, and arrays by row."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.model import Sighting
from proximity.observations import Floats, Ints
from proximity.presence.engine import Engine
from proximity.presence.state import Column, Keys, Named, Table
from proximity.presence.strongest import Strongest
from proximity.presence.visits import NEXT, TABLE, Event, Phase
from proximity.site.model import Anchor, Site
from tests.presence_shop import T0, TAG, batch, shop


def test_the_table_names_each_case_once_and_enters_lead_inside() -> None:
    cases = [(phase, event) for phase, event, *_ in TABLE]
    assert len(cases) == len(set(cases))
    counts = (Phase.INSIDE, Phase.LEAVING)
    for phase, event, then, kind, cause in TABLE:
        assert NEXT[phase, event] == then
        assert (kind == "enter") == (phase not in counts and then in counts)
        assert (kind == "exit") == (phase in counts and then not in counts)
        assert (kind is None) == (cause is None)


@pytest.mark.parametrize(
    "event", [Event.REMOVED, Event.ERASED, Event.WITHDRAWN, Event.SILENT, Event.GATEWAY_DOWN, Event.EDITED_OUT]
)
def test_every_phase_ends_with(event: Event) -> None:
    assert {int(NEXT[phase, event]) for phase in Phase} == {Phase.AWAY}


# -- the simplest locator ---------------------------------------------------------------------------------------------


def locator(site: Site | None = None) -> Strongest:
    one = Strongest.for_site(site or shop())
    one.grow(8)
    return one


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int32)


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def test_belief_is_a_probability_and_follows_the_strongest() -> None:
    one = locator()
    one.tick(1.0, ints(0, 0, 0, 5), ints(0, 1, 2, 2), floats(-60, -75, -90, -50))
    belief = one.belief(ints(0, 5), 1.0)
    assert belief.shape == (2, 4)
    assert belief.sum(axis=1) == pytest.approx([1, 1])
    assert belief.argmax(axis=1).tolist() == [0, 2]


def test_the_order_of_readings_and_repeated_ones_do_not_matter() -> None:
    forward, backward = locator(), locator()
    slot, anchor, rssi = ints(0, 1, 0, 0, 1), ints(0, 0, 1, 0, 2), floats(-60, -70, -65, -64, -80)
    forward.tick(1.0, slot, anchor, rssi)
    backward.tick(1.0, slot[::-1], anchor[::-1], rssi[::-1])
    assert (forward.belief(ints(0, 1), 1.0) == backward.belief(ints(0, 1), 1.0)).all()
    assert forward.level[0, 0] == -62.0


def test_another_zone_has_to_be_stronger_by_the_hysteresis() -> None:
    one = locator()
    for tick in range(20):
        one.tick(tick * 1.0, ints(0, 0), ints(0, 1), floats(-60, -70))
    for tick in range(20, 40):
        one.tick(tick * 1.0, ints(0, 0), ints(0, 1), floats(-66, -63))
    assert one.belief(ints(0), 40.0)[0].argmax() == 0
    for tick in range(40, 60):
        one.tick(tick * 1.0, ints(0, 0), ints(0, 1), floats(-66, -60))
    assert one.belief(ints(0), 60.0)[0].argmax() == 1


def test_an_anchor_that_hears_nothing_more_fades() -> None:
    one = locator()
    one.tick(0.0, ints(0, 0), ints(0, 1), floats(-60, -80))
    for tick in range(1, 12):
        one.tick(tick * 1.0, ints(0), ints(1), floats(-80))
    assert one.belief(ints(0), 12.0)[0].argmax() == 1


def test_faint_is_nowhere() -> None:
    one = locator()
    one.tick(0.0, ints(0), ints(0), floats(-103.0))
    assert one.belief(ints(0), 0.0)[0, -1] > 0.9


def test_calibration_and_positions_count() -> None:
    site = shop()
    deaf = replace(site, anchors=(replace(site.anchors[0], offset=20.0), *site.anchors[1:]))
    one = locator(deaf)
    one.tick(0.0, ints(0, 0), ints(0, 1), floats(-75, -60))
    assert one.belief(ints(0), 0.0)[0].argmax() == 0
    assert 2.5 < one.position(ints(0), 0.0)[0, 0] < 5.0
    assert np.isnan(one.position(ints(3), 0.0)).all()
    nowhere = locator(replace(site, anchors=tuple(Anchor(a.id, a.site, a.kind, a.zone) for a in site.anchors)))
    nowhere.tick(0.0, ints(0), ints(0), floats(-60))
    assert np.isnan(nowhere.position(ints(0), 0.0)).all()


def test_a_cleared_slot_knows_nothing_of_its_owner_before() -> None:
    one, fresh = locator(), locator()
    one.tick(0.0, ints(2), ints(0), floats(-50))
    one.clear(ints(2))
    assert (one.belief(ints(2), 0.0) == fresh.belief(ints(2), 0.0)).all()
    again = locator()
    again.restore(one.state())
    assert (again.belief(ints(2), 0.0) == one.belief(ints(2), 0.0)).all()


def test_a_walk_through_the_shop_is_followed_within_seconds() -> None:
    """Three zones of 5 m, a sample a second with 4 dB of noise and a sixth lost, 1 m/s, ten walks."""
    delays, extra = [], 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = []
        for i, anchor in enumerate(shop().anchors):
            for t in np.arange(rng.random(), 51.0, 1.0):
                x = 2.5 + max(0.0, min(t - 20.0, 5.0)) + max(0.0, min(t - 40.0, 5.0))
                gap = np.hypot(x - (5 * i + 2.5), 1.0)
                if rng.random() > 0.16:
                    rssi = -60.0 - 22.0 * np.log10(gap) + rng.normal(0, 4)
                    rows.append(Sighting(f"shop/{anchor.id}", TAG, float(rssi), T0 + float(t)))
        transitions = Engine([shop()]).step(batch(rows), T0 + 51).transitions
        enters = [one for one in transitions if one.kind == "enter"]
        delays += [min(abs(one.at - T0 - true) for one in enters if one.zone == zone) for true, zone in _TRUTH]
        extra += len(enters) - 3
    assert np.median(delays) <= 3.0
    assert np.quantile(delays, 0.95) <= 5.0
    assert extra <= 4


_TRUTH = ((22.5, "aisle"), (42.5, "till"))


# -- arrays by row --------------------------------------------------------------------------------------------------


def test_rows_are_taken_given_back_and_taken_again_blank() -> None:
    table = Table({"value": Column("f8", -1.0), "wide": Column("i4", 7, 3)})
    rows = table.take(100)
    assert len(set(rows.tolist())) == 100
    table.value[rows], table.wide[rows] = 5.0, 0  # type: ignore[attr-defined]
    table.give(rows[:50])
    again = table.take(60)
    assert not set(again.tolist()) & set(rows[50:].tolist())
    assert (table.value[again] == -1.0).all()  # type: ignore[attr-defined]
    assert (table.wide[again] == 7).all()  # type: ignore[attr-defined]
    copy = Table({"value": Column("f8", -1.0), "wide": Column("i4", 7, 3)})
    copy.restore(table.state())
    assert (copy.rows() == table.rows()).all()
    assert not set(copy.take(5).tolist()) & set(table.rows().tolist())


def test_names_keep_their_rows() -> None:
    table = Named({"value": Column("f8", 0.0)})
    first = table.numbers(["a", "b", "a", "c"])
    assert first[0] == first[2]
    table.give(table.numbers(["b"]))
    assert table.numbers(["a", "c"]).tolist() == [first[0], first[3]]
    assert "b" not in table.index
    copy = Named({"value": Column("f8", 0.0)})
    copy.restore(table.state())
    assert copy.index == table.index


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))), st.data())
def test_keys_are_found_by_pair_and_by_major(pairs: set[tuple[int, int]], data: st.DataObject) -> None:
    keys, rows = Keys(), {pair: row for row, pair in enumerate(sorted(pairs))}
    known = list(data.draw(st.permutations(sorted(pairs))))
    half = len(known) // 2
    for part in (known[:half], known[half:]):
        keys.add(Keys.of(ints(*(a for a, _ in part)), ints(*(b for _, b in part))), ints(*(rows[p] for p in part)))
    gone = known[::3]
    keys.remove(Keys.of(ints(*(a for a, _ in gone)), ints(*(b for _, b in gone))))
    left = {pair: row for pair, row in rows.items() if pair not in gone}
    every = [(a, b) for a in range(6) for b in range(6)]
    found = keys.find(Keys.of(ints(*(a for a, _ in every)), ints(*(b for _, b in every))))
    assert found.tolist() == [left.get(pair, -1) for pair in every]
    which, under = keys.under(ints(4, 0))
    assert sorted(zip(which.tolist(), under.tolist(), strict=True)) == sorted(
        (i, row) for i, major in enumerate((4, 0)) for pair, row in left.items() if pair[0] == major
    )
