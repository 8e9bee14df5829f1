"""Observations in the store, on SQLite and on PostgreSQL."""

import pytest

from proximity.presence.probe import State
from proximity.store import observations, packing, people, retention
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store
from proximity.store.packing import Kept
from tests.store_house import NOW, observed

pytest_plugins = ["tests.store_fixtures"]


def kept(device: str, shopper: str, begins: float, length: float = 10.0) -> list[Kept]:
    return observed(device, shopper, NOW + begins, NOW + begins + length)


@pytest.fixture(params=[1, packing.LUMPS], ids=["in one lump", "in many"])
def lumps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LUMPS", request.param)


@pytest.mark.usefixtures("lumps")
def test_a_shoppers_observations_and_the_gateways_of_that_time(store: Store) -> None:
    rows = [
        *kept("app:ada", "ada", 0),
        *kept("mac:ada", "ada", 12),
        *kept("app:ada", "ada", 20),
        *kept("app:ben", "ben", 5),
    ]
    states = [
        State("lyon/door", False, NOW - 100),
        State("lyon/door", True, NOW - 50),
        State("lyon/till", False, NOW - 70),
        State("lyon/till", True, NOW + 15),
        State("lyon/till", False, NOW + 90),
    ]
    commit(store, Outcome(observations=[*rows, *kept("app:eve", "eve", 3)], states=states, at=NOW))
    commit(store, Outcome(observations=rows[:2], states=states[:2], at=NOW))  # again, as after a crash
    assert observations.load(store, "ada", NOW + 11, NOW + 30) == (
        [rows[1], rows[2]],
        [states[2], states[1], states[3]],
    )
    assert observations.span(store) == (NOW, NOW + 30)
    assert observations.span(store, "app:ben") == (NOW + 5, NOW + 15)
    assert observations.span(store, "app:eve") is None  # nobody that the store knows
    assert observations.owner(store, "app:ben", NOW) == "ben"
    assert observations.owner(store, "app:eve", NOW) is None

    observations.forget(store, "ada")
    assert observations.load(store, "ada", NOW, NOW + 30)[0] == []
    assert retention.purge_observations(store, NOW + 20) == {"observations": 1, "gateway_states": 2}
    assert observations.load(store, "ben", NOW + 20, NOW + 100)[1] == [states[1], states[3], states[4]]


@pytest.mark.usefixtures("lumps")
def test_a_lump_of_several_shoppers_gives_up_only_the_one(store: Store) -> None:
    both = packing.pack([
        packing.story(kept("app:ada", "ada", 0)).batch,
        packing.story(kept("app:ben", "ben", 1)).batch,
        packing.story(kept("app:eve", "eve", 2)).batch,
    ])  # fmt: skip
    commit(store, Outcome(observations=both, at=NOW))
    assert observations.span(store, "app:eve") is None  # nobody that the store knows
    assert people.erase(store, "ada")
    assert observations.span(store, "app:ada") is None
    assert observations.load(store, "ben", NOW, NOW + 20)[0] == kept("app:ben", "ben", 1)
    observations.forget(store, "ada")  # again
    assert observations.span(store) == (NOW + 1, NOW + 11)


def test_whose_a_device_was_that_changed_hands(store: Store) -> None:
    rows = [*kept("app:both", "ada", 0), *kept("app:both", "ben", 9000), *kept("app:bother", "eve", 4000)]
    commit(store, Outcome(observations=rows, at=NOW))
    moments = {-9000: "ada", 5: "ada", 8999: "ada", 9000: "ben", 50_000: "ben"}
    assert {at: observations.owner(store, "app:both", NOW + at) for at in moments} == moments
    assert observations.span(store, "app:both") == (NOW, NOW + 9010)
