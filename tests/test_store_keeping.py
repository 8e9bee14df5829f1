"""Gateways and retention."""

import pytest

from proximity.store import coupons, gateways, history, offers, retention, rulesets
from proximity.store.commit import GatewayOffset, Outcome, commit
from proximity.store.database import Store
from proximity.store.gateways import GatewayRow, OffsetRow
from tests.outbox_marks import mark_sent
from tests.store_house import NOW, ending, everything, story

pytest_plugins = ["tests.store_fixtures"]


def test_a_gateways_last_words(store: Store) -> None:
    gateways.put_health(store, "lyon", "shelf-1", {"boot": "b", "heard": 10, "temperature": None}, NOW)
    assert gateways.gateways(store) == [
        GatewayRow("lyon", "shelf-1", "unknown", NOW, None, {"boot": "b", "heard": 10, "temperature": None})
    ]
    gateways.put_status(store, "lyon", "shelf-1", "online", "1.2.0", NOW + 1)
    gateways.put_health(store, "lyon", "shelf-1", {"boot": "b", "heard": 20}, NOW + 2)
    gateways.put_status(store, "lyon", "shelf-1", "offline", None, NOW + 3)  # a last will knows no version
    gateways.put_status(store, "nice", "door", "online", None, NOW)
    assert gateways.gateways(store) == [
        GatewayRow("lyon", "shelf-1", "offline", NOW + 3, "1.2.0", {"boot": "b", "heard": 20}),
        GatewayRow("nice", "door", "online", NOW),
    ]
    assert [row.gateway for row in gateways.gateways(store, "nice")] == ["door"]


def test_offsets_are_listed(store: Store) -> None:
    commit(store, Outcome(offsets=[GatewayOffset("lyon", "shelf-1", "one", 5, 5, 100)], at=NOW))
    commit(store, Outcome(offsets=[GatewayOffset("lyon", "shelf-1", "two", 2, 3, 60, ahead=[4, 6])], at=NOW + 9))
    commit(store, Outcome(offsets=[GatewayOffset("nice", "door", "one", 1, 1, 1)], at=NOW))
    assert gateways.offsets(store, "lyon", "shelf-1") == [
        OffsetRow("lyon", "shelf-1", "two", 2, (4, 6), 3, 60, NOW + 9),
        OffsetRow("lyon", "shelf-1", "one", 5, (), 5, 100, NOW),
    ]
    assert len(gateways.offsets(store)) == 3


@pytest.fixture
def two_days(store: Store) -> Store:
    """Ada was here a day ago, and Ben, who never left; Ada is here now."""
    yesterday = story("ada", "coffee", NOW - 86_400.0)
    commit(store, yesterday)
    mark_sent(store, {one.id: NOW - 86_399.0 for one in yesterday.deliveries})
    commit(store, ending(yesterday, NOW - 86_300.0))
    commit(store, story("ben", "tills", NOW - 86_400.0))
    commit(store, story("ada", "coffee", NOW))
    assert coupons.settle(store, NOW)["expired"] == 2
    return store


def test_old_history_goes(two_days: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PIECE", 2)  # several transactions
    removed = retention.purge(two_days, NOW - 3600.0)
    assert removed == {
        "deliveries": 6,  # two each, and two withdrawals
        "offers": 2,
        "decisions": 2,
        "transitions": 3,
        "visits": 1,
        "late_observations": 2,
        "coupons": 2,
        "redemptions": 0,
        "exposures": 2,
        "shop_events": 0,
        "staff_messages": 2,
        "context_values": 0,
    }
    assert [one.at for one in history.transitions(two_days)] == [NOW]
    assert {(one.shopper, one.ended) for one in history.visits(two_days)} == {("ada", None), ("ben", None)}
    assert len(offers.offers(two_days, "ada")) == 1
    assert retention.purge(two_days, NOW - 3600.0) == dict.fromkeys(removed, 0)


def test_nothing_else_goes(two_days: Store) -> None:
    kept = ("shoppers", "devices", "consents", "gateways", "offsets", "checkpoints", "rule_sets", "rule_changes")
    rulesets.load(two_days, "a", {}, NOW - 1e6)
    before = everything(two_days)
    retention.purge(two_days, NOW + 1e6)
    after = everything(two_days)
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["transitions"] == []
    assert len(after["visits"]) == 2  # open ones
