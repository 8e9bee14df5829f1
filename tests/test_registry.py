"""People come and go one by one, and everything that knows them stands as if it had been made anew."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.identity.directory import Directory
from proximity.ingest import roll
from proximity.ingest.admission import Admission
from proximity.ingest.decode import Read
from proximity.ingest.gateway_config import Wanted
from proximity.ingest.roll import Roll
from proximity.model import Device, Shopper
from proximity.registry import Registry
from proximity.store import people
from proximity.store.database import Store, open_store

UUID = "7c0b0b52-3f0e-4a54-9b5f-2f1c6a7d8e90"
NOW = 1_764_155_040.0
PEOPLE = ("ada", "ben", "cy")
KEY = "ec0234a357c8ad05341010a60a397d9b"
BEACON, PHONE, PRIVATE = f"ibeacon:{UUID}:1:7", "owntracks:ada/phone", f"irk:{KEY}"
DEVICES = {BEACON: "ibeacon", f"ibeacon:{UUID}:1:8": "ibeacon", PHONE: "owntracks", PRIVATE: "irk"}
ADDRESS = "mac:70:81:94:0d:fb:aa"  # that the key makes

steps = st.one_of(
    st.tuples(st.just("consent"), st.sampled_from(PEOPLE), st.sampled_from(("in-store-offers", "news")), st.booleans()),
    st.tuples(st.just("carry"), st.sampled_from(PEOPLE), st.sampled_from(sorted(DEVICES)), st.sampled_from(("a", "b"))),
    st.tuples(st.just("leave"), st.sampled_from(PEOPLE), st.sampled_from(sorted(DEVICES))),
    st.tuples(st.just("erase"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("return"), st.sampled_from(PEOPLE)),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('people') / 'p.db'}")
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def store(file: Store) -> Store:
    """With Ada, Ben and Cy, who agreed to nothing and carry nothing."""
    begin(file)
    return file


def begin(store: Store) -> None:
    for name in PEOPLE:
        people.erase(store, name)
        people.put_shopper(store, Shopper(name), at=NOW)


def carry(store: Store, name: str, shopper: str, secret: str = "a") -> None:
    kind = DEVICES[name]
    people.put_device(store, Device(name, shopper, kind, KEY if kind == "irk" else secret))


def happen(store: Store, step: tuple[object, ...]) -> None:
    """In the store."""
    kind, who, *more = step
    shopper = str(who)
    if people.shopper(store, shopper) is None and kind != "return":
        return
    if kind == "consent":
        people.set_consent(store, shopper, str(more[0]), bool(more[1]), NOW, "api")
    elif kind == "carry":
        carry(store, str(more[0]), shopper, str(more[1]))
    elif kind == "leave":
        device = people.device(store, str(more[0]))
        if device is not None and device.shopper == shopper:
            people.remove_device(store, device.id)
    elif kind == "erase":
        people.erase(store, shopper)
    else:
        people.put_shopper(store, Shopper(shopper, consents={"news": True}), at=NOW)


def told(registry: Registry) -> tuple[object, ...]:
    carried = {name: sorted(registry.carried_by(name), key=lambda one: one.id) for name in PEOPLE}
    return dict(registry.devices), dict(registry.shoppers), set(registry.agreed), carried


@given(st.lists(steps, max_size=14))
def test_whoever_changes_one_by_one_is_known_as_if_all_were_read_anew(
    file: Store, told_steps: list[tuple[object, ...]]
) -> None:
    begin(file)
    registry = Registry(file)
    directory, numbers, wanted = Directory([]), Roll([]), Wanted()
    for step in told_steps:
        happen(file, step)
        change = registry.read_again(file, str(step[1]))
        for one in (directory, numbers, wanted):
            one.change(change.gone, change.come)
    fresh = Registry(file)
    assert told(registry) == told(fresh)
    agreed = sorted(fresh.agreed_devices(), key=lambda one: one.id)
    assert sorted(registry.agreed_devices(), key=lambda one: one.id) == agreed
    asked = [*DEVICES, ADDRESS, BEACON.upper()]
    assert directory.resolve_many(asked, NOW) == Directory(agreed).resolve_many(asked, NOW)
    assert wanted.config() == Wanted(agreed).config()
    owners = {name: numbers.shoppers[number] for name, number in numbers.index.items()}
    assert owners == {device.id: device.shopper for device in agreed}
    assert [numbers.names[number] for number in numbers.index.values()] == list(numbers.index)


def test_who_takes_back_the_last_consent_withdrew(store: Store) -> None:
    registry = Registry(store)
    found = []
    for purpose, granted in (("news", True), ("offers", True), ("news", False), ("offers", False)):
        people.set_consent(store, "ada", purpose, granted, NOW, "api")
        found.append(registry.read_again(store, "ada").withdrew)
    assert found == [False, False, False, True]


def test_a_device_that_changes_hands_goes_from_one_and_comes_to_the_other(store: Store) -> None:
    for name in ("ada", "ben"):
        people.set_consent(store, name, "news", True, NOW, "api")
    carry(store, BEACON, "ada")
    registry = Registry(store)
    numbers = Roll(list(registry.agreed_devices()))
    carry(store, BEACON, "ben")
    change = registry.read_again(store, "ben")
    assert ([one.shopper for one in change.gone], [one.shopper for one in change.come]) == (["ada"], ["ben"])
    numbers.change(change.gone, change.come)
    assert (numbers.names, numbers.shoppers) == ([BEACON, BEACON], ["ada", "ben"])  # a number is somebody's
    assert numbers.index == {BEACON: 1}


def test_what_did_not_change_neither_goes_nor_comes(store: Store) -> None:
    people.set_consent(store, "ada", "news", True, NOW, "api")
    carry(store, BEACON, "ada")
    registry = Registry(store)
    people.set_consent(store, "ada", "offers", True, NOW, "api")
    assert registry.read_again(store, "ada") == ([], [], False)


def test_numbers_of_those_who_left_are_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll, "SPARE", 4)
    kept, tag = Device(PHONE, "ben", "owntracks"), Device(BEACON, "ada", "ibeacon")
    numbers = Roll([kept])
    shared = numbers.names
    for _ in range(20):
        numbers.change([], [tag])
        assert numbers.names[numbers.index[PHONE]] == PHONE
        assert numbers.names[numbers.index[BEACON]] == BEACON
        numbers.change([tag], [])
    assert len(numbers.names) <= 2 * 1 + 4 + 1
    assert numbers.names is not shared  # batches that have the old one go on with it
    assert shared[0] == PHONE


def test_an_admission_goes_on_under_other_people() -> None:
    ada, ben = Device(BEACON, "ada", "ibeacon"), Device(BEACON, "ben", "ibeacon")
    admission = Admission([], [ada])
    first, _, _ = admission.admit(Read(), NOW)
    admission.change([ada], [ben])
    second, _, _ = admission.admit(Read(), NOW)
    assert second.devices is first.devices  # so that nobody looks up what he has looked up already
    assert (list(first.devices), list(first.shoppers)) == ([BEACON, BEACON], ["ada", "ben"])
