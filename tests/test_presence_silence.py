"""How long silence has to last adapts to the device, and to nothing else."""

import pytest

from proximity.model import Sighting
from proximity.presence.engine import Engine
from proximity.site.model import PresenceOptions
from tests.presence_shop import INDOOR, T0, heard, kinds, run, shop

GATEWAYS = [f"shop/g-{name}" for name in INDOOR]


def left_after(engine: Engine, last: float) -> float:
    """Seconds after the last sighting, at second `last`, at which the visit ends by silence."""
    (exit_,) = [one for one in run(engine, last + 3600).transitions if one.zone == "door"]
    assert (exit_.kind, exit_.cause) == ("exit", "silence")
    return exit_.at - exit_.observed


@pytest.mark.parametrize(("every", "wait"), [(1.0, 20), (4.0, 20), (15.0, 60), (30.0, 120), (60.0, 240)])
def test_the_time_to_wait_is_four_of_the_devices_intervals(every: float, wait: float) -> None:
    engine = Engine([shop()])
    run(engine, 20 * every, heard("door", 0, 20 * every, every=every))
    assert left_after(engine, 20 * every) == pytest.approx(wait, rel=0.1, abs=0.5)


@pytest.mark.parametrize("pause", [30.0, 60.0, 200.0])
def test_one_long_pause_is_not_learnt(pause: float) -> None:
    engine = Engine([shop(presence=PresenceOptions(exit_after=20, gateway_hold=600))])
    run(engine, 60, heard("door", 0, 60))
    run(engine, 70 + pause, heard("door", 60 + pause, 70 + pause))
    assert left_after(engine, 70 + pause) == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("outages", [1, 4])
def test_an_outage_of_the_gateways_is_not_learnt(outages: int) -> None:
    engine = Engine([shop()])
    found, end = [], 0.0
    for _ in range(outages + 1):
        found += run(engine, end + 30, heard("door", end, end + 30)).transitions
        for gateway in GATEWAYS:
            engine.gateway_state(gateway, online=False, at=T0 + end + 30)
            engine.gateway_state(gateway, online=True, at=T0 + end + 100)
        end += 100.0
    found += run(engine, end + 10, heard("door", end, end + 10)).transitions
    assert kinds(found) == [("enter", "door")]  # held through every outage
    assert left_after(engine, end + 10) == pytest.approx(20, abs=0.5)


def test_an_outage_of_the_gateway_that_hears_it_is_not_learnt_from_another_that_does_later() -> None:
    """Heard by the door's gateway alone, then by the aisle's alone: what the door's missed is not known."""
    engine = Engine([shop()])
    run(engine, 30, [one for one in heard("door", 0, 30) if one.anchor == "shop/g-door"])
    engine.gateway_state("shop/g-door", online=False, at=T0 + 31)
    run(engine, 80, [Sighting("shop/g-aisle", "ibeacon:ada", -60.0, T0 + t) for t in range(70, 80)])
    found = run(engine, 3700, []).transitions
    exit_ = found[-1]
    assert (exit_.zone, exit_.cause) == ("aisle", "silence")
    assert exit_.at - exit_.observed == pytest.approx(20, abs=0.5)


def test_a_device_that_becomes_slow_is_learnt_anew() -> None:
    engine = Engine([shop()])
    run(engine, 300, heard("door", 0, 60), heard("door", 60, 300, every=30))
    assert left_after(engine, 300) > 60
