"""People who come, change and go while the pipeline runs."""

import pytest

from proximity import wire
from proximity.model import Device, Shopper
from proximity.presence import checkpoint as states
from proximity.store import checkpoints, history, people
from proximity.store.database import Store, StoreError
from tests import test_service
from tests.test_service import House, dump

configuration, house = test_service.configuration, test_service.house

HERE = {("demo-store", "coffee-aisle")}
TAG = "ibeacon:00000000-0000-0000-0000-00000000beac:1:1"


def heard(house: House, device: str, seq: int) -> None:
    """A second of the coffee aisle's gateway, which hears that device."""
    house.now += 1
    row = wire.Row(device, round(house.now * 1000) - 200, -50.0, 3)
    gateway = next(a.id for a in house.configuration.sites[0].anchors if a.zone == "coffee-aisle")
    message = wire.SightingsMessage("boot", seq, "synced", [row])
    house.service.turn([house.say(wire.gateway_topic("demo-store", gateway, "sightings"), wire.encode(message))])


def register(house: House, shopper: str, agrees: bool = True) -> None:
    people.put_shopper(house.store, Shopper(shopper, consents={"in-store-offers": agrees}), at=house.now)
    people.put_device(house.store, Device(TAG, shopper, "ibeacon"))
    house.service.shopper_changed(shopper)


def test_who_registers_is_followed_from_then_on_and_nobody_else_notices(house: House) -> None:
    house.stand(5)
    heard(house, TAG, 1)
    assert house.service.vitals.counts["identity", "nobody"] == 1
    register(house, "new")
    for seq in range(2, 7):
        heard(house, TAG, seq)
    assert house.service.inside("new") == HERE
    assert house.service.inside("ada") == HERE
    assert house.kinds().count(("enter", "coffee-aisle")) == 2
    house.restart()  # what the journal says of new names stands the same
    assert house.service.inside("new") == HERE


def test_a_device_that_changes_hands_leaves_with_one_and_comes_with_the_other(house: House) -> None:
    register(house, "new")
    for seq in range(1, 6):
        heard(house, TAG, seq)
    register(house, "other")
    for seq in range(6, 11):
        heard(house, TAG, seq)
    assert (house.service.inside("new"), house.service.inside("other")) == (set(), HERE)


def test_gateways_are_told_what_to_report_when_that_changes_and_only_then(house: House) -> None:
    def told() -> list[bytes]:
        found = [payload for topic, payload in house.posted if topic.endswith("/config")]
        house.posted.clear()
        return found

    def agree(purpose: str, granted: bool) -> None:
        house.now += 1
        people.set_consent(house.store, "new", purpose, granted, house.now, "api")
        house.service.shopper_changed("new")

    gateways = sum(anchor.kind == "gateway" for anchor in house.configuration.sites[0].anchors)
    house.service.tell_gateways()
    assert len(told()) == gateways
    register(house, "new", agrees=False)
    assert told() == []
    agree("in-store-offers", True)
    assert [TAG.encode() in payload for payload in told()] == [True] * gateways
    agree("news", True)
    assert told() == []
    agree("news", False)
    agree("in-store-offers", False)
    assert [TAG.encode() in payload for payload in told()] == [False] * gateways


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_who_withdrew_is_gone_after_a_kill_too(house: House, with_checkpoint: bool) -> None:
    keeper = house.service._keeper
    keeper.every, keeper._due = (0.0, 0.0) if with_checkpoint else (1e9, 1e9)
    house.stand(5)
    for one in people.consents(house.store, "ada"):
        people.set_consent(house.store, "ada", one.purpose, False, house.now, "shopper")
    house.service.shopper_changed("ada")
    before = house.kinds()
    house.restart()
    assert house.service.inside("ada") == set()
    assert house.service.whereabouts("ada") == []
    house.now += 1
    house.service.turn([])
    assert house.kinds() == before
    assert history.visits(house.store, shopper="ada", open_only=True) == []


def test_nothing_of_who_was_erased_is_left_in_what_presence_keeps(house: House) -> None:
    house.stand(5)
    house.stand(5, shopper="ben", first=6)
    assert house.service.erase("ada")
    saved = checkpoints.load_checkpoint(house.store)
    assert saved is not None
    names = (b"ada", house.beacon("ada").encode())
    kept = [states.encode(states.unpack(data)) for data in saved.parts.values()]
    kept += [entry.state for entry in checkpoints.load_journal(house.store, saved.number)]
    assert not any(name in part for part in kept for name in names)
    assert any(b"ben" in part for part in kept)
    assert house.service.inside("ben") == HERE


def test_an_erasure_that_breaks_off_leaves_the_shopper_to_be_erased_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.stand(5)

    def refuse(_store: Store, _shopper: str) -> bool:
        raise StoreError("disk full", temporary=True)

    with monkeypatch.context() as broken:
        broken.setattr(people, "erase", refuse)
        with pytest.raises(StoreError):
            house.service.erase("ada")
    assert house.service.registry.shoppers.get("ada") is not None
    house.stand(5, first=6)
    assert house.service.inside("ada") == HERE
    assert house.service.erase("ada")
    assert not [row for row in dump(house.store) if "'ada'" in row]


def test_an_erasure_is_not_done_while_the_old_state_of_presence_is_in_the_store(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.stand(5)

    def refuse(*_: object) -> None:
        raise StoreError("disk full", temporary=True)

    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "save", refuse)
        with pytest.raises(StoreError, match="state of presence"):
            house.service.erase("ada")
    assert people.shopper(house.store, "ada") is not None


def test_rules_that_change_leave_people_and_visits_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.stand(5)
    read: list[object] = []
    monkeypatch.setattr("proximity.service.Registry", read.append)
    house.service.configure(house.configuration)  # the same people: nobody is read again
    assert read == []
    house.stand(3, first=6)
    assert house.service.inside("ada") == HERE
