"""The face of the engine: looking, forgetting, timers, checkpoints, and that it works on columns."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from proximity.errors import BadMessage
from proximity.model import DwellThreshold, Fix, Sighting, child_id, dated_id
from proximity.observations import Batch, Sightings
from proximity.presence import checkpoint
from proximity.presence.engine import Engine
from proximity.site.model import LocatorName, PresenceOptions
from tests.presence_shop import INDOOR, LON, PHONE, T0, TAG, anchors, batch, circle, fix, heard, kinds, run, shop, told


def test_ids_are_derived_from_what_caused_them() -> None:
    engine = Engine([shop()], {("shop", "door"): frozenset({DwellThreshold(5.0)})})
    enter, dwell, exit_ = run(engine, 60, heard("door", 0, 8)).transitions
    assert enter.visit == dated_id(round(enter.started * 1000) / 1000, "shop", "door", "ada")
    assert enter.id == child_id(enter.visit, "enter", "")
    assert dwell.id == child_id(enter.visit, "dwell", 5.0)
    assert exit_.id == child_id(enter.visit, "exit", "")
    assert (enter.started, enter.at, enter.observed) == (T0, T0 + 1, T0 + 1)


def test_an_enter_takes_two_samples_and_one_stray_packet_is_none() -> None:
    engine = Engine([shop()])
    assert run(engine, 100, [Sighting("shop/g-door", TAG, -50.0, T0)]).transitions == []
    assert kinds(run(engine, 110, heard("door", 100, 102)).transitions) == [("enter", "door")]


def test_enter_after_and_exit_after_of_a_zone_count() -> None:
    site = shop()
    site = replace(site, zones=(replace(site.zones[0], enter_after=5.0, exit_after=50.0), *site.zones[1:]))
    step = run(Engine([site]), 100, heard("door", 0, 10))
    assert told(step.transitions) == [(5, "enter", "door", "confirmed"), (59.25, "exit", "door", "silence")]


def test_whereabouts_tells_place_zones_and_age() -> None:
    engine = Engine([shop(circle("park", 60, 0, -100))])
    run(engine, 10, heard("door", 0, 10), [fix(3, 0, -100)])
    tag, phone = engine.whereabouts("ada")
    assert (tag.device, tag.site, tag.zones) == (TAG, "shop", ("door", "park"))
    assert tag.at == T0 + 9.2
    assert tag.x is not None
    assert abs(tag.x - 2.5) < 2.0
    assert tag.confidence > 0.9
    assert phone.device == PHONE
    assert phone.lon == pytest.approx(LON)
    assert (phone.x, phone.y) == pytest.approx((0.0, -100.0), abs=0.01)
    assert engine.whereabouts() == [tag, phone]
    assert engine.whereabouts("nobody") == []
    assert engine.inside("ada") == [("shop", "door"), ("shop", "park")]
    assert engine.inside("nobody") == []


@pytest.mark.parametrize("locator", ["strongest", "zones", "grid"])
def test_a_silent_device_stays_where_it_was_last_heard(locator: LocatorName) -> None:
    """Its gateways are offline, so the visit is held: nobody knows better than what was heard last."""
    engine = Engine([shop(presence=PresenceOptions(locator=locator))])
    run(engine, 30, heard("till", 0, 30), heard("door", 0, 30, device="ibeacon:bob"))
    before = {one.device: (one.site, one.zones, one.x, one.y) for one in engine.whereabouts()}
    assert before[TAG][:2] == ("shop", ("till",))
    for anchor in anchors():
        engine.gateway_state(f"shop/{anchor.id}", False, T0 + 30)
    for second in (40, 90, 150):
        run(engine, second)
        assert {one.device: (one.site, one.zones, one.x, one.y) for one in engine.whereabouts()} == before


def test_whereabouts_of_a_device_that_went_silent_names_no_site() -> None:
    engine = Engine([shop()])
    run(engine, 100, heard("door", 0, 10))
    (tag,) = engine.whereabouts()
    assert (tag.site, tag.zones, tag.x, tag.confidence) == (None, (), None, 0.0)


def test_next_due_lets_a_caller_sleep() -> None:
    engine = Engine([shop()], {("shop", "door"): frozenset({DwellThreshold(15.0)})})
    assert engine.next_due() is None
    run(engine, 10, heard("door", 0, 10))
    assert engine.next_due() == T0 + 15  # the dwell
    assert run(engine, 14.99, []).transitions == []
    assert kinds(run(engine, 15, []).transitions) == [("dwell", "door")]
    assert engine.next_due() == T0 + 29.25  # the silence
    run(engine, 30, [])
    assert engine.next_due() is None
    run(engine, 30, [fix(31, 0)])
    assert engine.next_due() == T0 + 31  # an observation that is held


def test_a_long_pause_costs_only_its_timers() -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10))
    calls = _calls(lambda: run(engine, 365 * 86_400, []))
    assert calls < 3000


def test_a_watermark_that_steps_back_changes_nothing() -> None:
    engine = Engine([shop()])
    run(engine, 30, heard("door", 0, 30))
    assert run(engine, 5, []).transitions == []
    assert engine.watermark == T0 + 30


@pytest.mark.parametrize("watermark", [float("nan"), float("inf")])
def test_a_watermark_has_to_be_a_time(watermark: float) -> None:
    with pytest.raises(ValueError, match="watermark"):
        Engine([shop()]).step(Batch(), watermark)


def test_forget_ends_visits_and_leaves_nothing() -> None:
    engine = Engine([shop(circle("park", 60))])
    run(engine, 10, heard("door", 0, 12), heard("till", 0, 12, device="ibeacon:bob"), [fix(1, 0)])
    step = engine.forget("ada", T0 + 10)
    assert sorted(told(step.transitions)) == [(10, "exit", "door", "erased"), (10, "exit", "park", "erased")]
    assert [one.device for one in engine.whereabouts()] == ["ibeacon:bob"]
    assert run(engine, 25, []).transitions == []
    assert engine.forget("ada", T0 + 25).transitions == []
    assert engine.inside("bob") == [("shop", "till")]


def test_a_device_that_changes_hands_takes_no_visit_along() -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10))
    others = Batch.of(heard("door", 10, 20), owners={TAG: "eve"})
    step = engine.step(others, T0 + 20)
    assert [(one.kind, one.cause, one.shopper) for one in step.transitions] == [
        ("exit", "erased", "ada"),
        ("enter", "confirmed", "eve"),
    ]


def test_thresholds_set_later_tell_only_what_is_to_come() -> None:
    engine = Engine([shop()])
    run(engine, 30, heard("door", 0, 30))
    engine.set_thresholds({("shop", "door"): frozenset({DwellThreshold(10.0), DwellThreshold(40.0)})})
    assert told(run(engine, 45, heard("door", 30, 45)).transitions) == [(40, "dwell", "door", "threshold")]


def test_two_sites_are_told_apart() -> None:
    other = replace(shop(), id="mall", zones=tuple(replace(z, site="mall") for z in shop().zones))
    engine = Engine([shop(), other])
    there = [replace_anchor(one, "mall") for one in heard("till", 40, 50)]
    step = run(engine, 100, heard("door", 0, 10), there)
    assert [(one.kind, one.site, one.zone) for one in step.transitions] == [
        ("enter", "shop", "door"),
        ("exit", "shop", "door"),
        ("enter", "mall", "till"),
        ("exit", "mall", "till"),
    ]


def replace_anchor(one: Sighting, site: str) -> Sighting:
    return Sighting(one.anchor.replace("shop/", f"{site}/"), one.device, one.rssi, one.at)


def test_two_sites_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        Engine([shop(), shop()])


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: b"", "no checkpoint"),
        (lambda data: b"garbage" + data, "no checkpoint"),
        (lambda data: data[:4] + b"\xff" + data[5:], "version 255"),
        (lambda data: data[:-9], "damaged"),
        (lambda data: checkpoint.pack({"clock": 1}), "damaged"),
        (lambda data: checkpoint.pack({**checkpoint.unpack(data), "claims": {"used": np.ones((2, 2))}}), "damaged"),
    ],
)
def test_a_checkpoint_that_is_none_is_refused_by_name(damage: object, text: str) -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10))
    with pytest.raises(BadMessage, match=text) as caught:
        Engine([shop()]).restore(damage(engine.checkpoint()))  # type: ignore[operator]
    assert caught.value.reason == "checkpoint"


def test_what_is_not_heard_for_long_is_given_back() -> None:
    engine = Engine([shop()])
    for day in range(5):
        start = day * 100_000.0
        rows = [one for i in range(200) for one in heard("door", start, start + 3, device=f"ibeacon:{day}-{i}")]
        run(engine, start + 90_000, rows)
        run(engine, start + 90_100, heard("till", start + 90_090, start + 90_100))
    assert len(engine.whereabouts()) == 1
    assert len(checkpoint.unpack(engine.checkpoint())["devices"]["names"]) <= 500


def test_no_python_loop_over_observations() -> None:
    """Ten times the rows in a tick may not cost ten times the calls."""
    engine = Engine([shop()])
    small, large = _crowd(1000, 0), _crowd(10_000, 10)
    engine.step(_crowd(10_000, -10), T0 - 5)
    engine.step(Batch(), T0)
    few = _calls(lambda: engine.step(small, T0 + 5))
    many = _calls(lambda: engine.step(large, T0 + 15))
    assert many < 2 * few


def _crowd(rows: int, start: float) -> Batch:
    """Rows of 2,000 devices, each too seldom to enter anywhere."""
    rng = np.random.default_rng(rows)
    devices = tuple(f"ibeacon:{i}" for i in range(2000))
    n = np.arange(rows)
    return Batch(
        devices,
        devices,
        [f"shop/g-{name}" for name in INDOOR],
        Sightings(
            T0 + start + rng.random(rows) * 0.2,
            (n % 2000).astype(np.int32),
            (n // 2000 % 3).astype(np.int32),
            rng.uniform(-110, -100, rows),
        ),
    )


def _calls(work: object) -> int:
    """How many functions `work` calls."""
    count = 0

    def profile(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()  # type: ignore[operator]
    finally:
        sys.setprofile(None)
    return count


def test_an_empty_batch_and_no_sites_are_fine() -> None:
    engine = Engine([])
    step = engine.step(batch([Fix(PHONE, 1.0, 1.0, T0)]), T0 + 1)
    assert (step.transitions, step.visits, step.late, step.counts) == ([], [], [], {"fixes": 1})
