"""Clocks that step back and forth: of the whole house, of a gateway, of the service. Presence is right again in a
minute, nothing acknowledged is lost, and nothing happens twice."""

import pytest

from proximity.ingest.inbound import Inbound
from proximity.store import history
from tests import test_service
from tests.integration.fault_house import covered
from tests.test_service import House

pytestmark = pytest.mark.integration
configuration, house = test_service.configuration, test_service.house

STEPS = [
    ("back a minute", [-60.0]),
    ("back an hour", [-3600.0]),
    ("ahead an hour", [3600.0]),
    ("ahead and back", [3600.0, -3600.0]),
    ("to and fro", [-30.0, 45.0, -600.0, 900.0, -7200.0, 7200.0]),
]


@pytest.mark.parametrize("steps", [steps for _, steps in STEPS], ids=[name for name, _ in STEPS])
def test_a_clock_that_steps_does_not_blind_the_shop(house: House, steps: list[float]) -> None:
    """The clocks of the house step together, as one time server makes them: the shop is seen again in a minute."""
    seq = 0
    for step in [0.0, *steps]:
        house.now += step
        house.stand(25, first=seq + 1)
        seq += 25
    house.stand(60, "bakery")
    assert house.service.inside("ada") == {("demo-store", "bakery")}
    assert sorted(covered(house)) == sorted([(seq, seq, ()), (60, 60, ())])
    house.restart()
    assert house.service.inside("ada") == {("demo-store", "bakery")}


def each_visit_once(house: House) -> None:
    """Every visit was entered once and left at most once, later; one is open. Moments may come twice here."""
    visits: dict[str, dict[str, float]] = {}
    for one in history.transitions(house.store, limit=100_000):
        if one.kind in ("enter", "exit"):
            told = visits.setdefault(one.visit, {})
            assert one.kind not in told
            told[one.kind] = one.at
    assert all("enter" in told and told.get("exit", told["enter"]) >= told["enter"] for told in visits.values())
    assert sum("exit" not in told for told in visits.values()) == 1


def heard(house: House, seq: int, zone: str, ahead: float) -> Inbound:
    """As `House.heard`, by a gateway whose clock is `ahead` of the service's."""
    right = house.now
    house.now = right + ahead
    message = house.heard(seq, zone)
    house.now = right
    return Inbound(message.topic, message.payload, right, message.done)


APART = [
    ("a gateway ahead an hour", [(0.0, 3600.0), (0.0, 0.0)]),
    ("a gateway behind an hour", [(0.0, -3600.0), (0.0, 0.0)]),
    ("a gateway to and fro", [(0.0, 40.0), (0.0, -40.0), (0.0, 7200.0), (0.0, -7200.0), (0.0, 0.0)]),
    ("the service ahead an hour", [(3600.0, -3600.0), (-3600.0, 0.0)]),
    ("the service behind an hour", [(-3600.0, 3600.0), (3600.0, 0.0)]),
    ("the service to and fro", [(20.0, -20.0), (-40.0, 20.0), (3620.0, -3600.0), (-7200.0, 3600.0), (3600.0, 0.0)]),
]


@pytest.mark.parametrize("steps", [steps for _, steps in APART], ids=[name for name, _ in APART])
def test_clocks_that_part_and_come_together_again(house: House, steps: list[tuple[float, float]]) -> None:
    """`steps`: by how much the service's clock moves, and how far the gateway's is ahead of it then."""
    seq = 0
    for step, ahead in [(0.0, 0.0), *steps]:
        house.now += step
        for _ in range(25):
            seq, house.now = seq + 1, house.now + 1.0
            house.service.turn([heard(house, seq, "coffee-aisle", ahead)])
    assert house.acknowledged == [None] * seq
    house.stand(60, "bakery")
    assert house.service.inside("ada") == {("demo-store", "bakery")}
    assert sorted(covered(house)) == sorted([(seq, seq, ()), (60, 60, ())])
    each_visit_once(house)
    before = house.kinds()
    house.restart()
    house.stand(3, "bakery", first=61)
    assert house.kinds() == before
    assert house.service.inside("ada") == {("demo-store", "bakery")}
