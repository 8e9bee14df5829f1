"""Offers and their deliveries: the states, and how an offer's follows from its deliveries'."""

import pytest

from proximity.store import history, offers, outbox, people
from proximity.store.commit import commit
from proximity.store.database import Store
from proximity.store.offers import StoredOffer
from proximity.store.outbox import Clearance, Delivery
from proximity.store.settling import Result, Settled, record
from tests.outbox_marks import mark_dead, mark_retry, mark_sent, mark_skipped
from tests.store_house import NOW, ending, story

pytest_plugins = ["tests.store_fixtures"]


def queue(store: Store, *channels: str, shopper: str = "ada", started: float = NOW) -> dict[str, Delivery]:
    """One offer in the outbox; its deliveries by channel."""
    outcome = story(shopper, started=started, channels=channels)
    commit(store, outcome)
    return {one.channel: one for one in outcome.deliveries}


def state(store: Store, delivery: Delivery) -> tuple[str, str | None]:
    stored = offers.offer(store, delivery.offer)
    assert stored is not None
    return stored.state, stored.state_reason


SETTLED = [
    # what became of its two deliveries              the offer
    ({"mqtt": "sent"}, ("sent", None)),
    ({"mqtt": "sent", "webhook": "dead"}, ("sent", None)),
    ({"mqtt": "expired"}, ("queued", None)),
    ({"mqtt": "dead"}, ("queued", None)),
    ({"mqtt": "retry", "webhook": "dead"}, ("queued", None)),
    ({"mqtt": "dead", "webhook": "dead"}, ("failed", "undeliverable")),
    ({"mqtt": "expired", "webhook": "dead"}, ("failed", "undeliverable")),
    ({"mqtt": "expired", "webhook": "expired"}, ("expired", "expired")),
    ({"mqtt": "left_zone", "webhook": "expired"}, ("withdrawn", "left_zone")),
    ({"mqtt": "no_consent", "webhook": "no_consent"}, ("withdrawn", "no_consent")),
]


@pytest.mark.parametrize(("fates", "wanted"), SETTLED)
def test_an_offers_state_follows_from_its_deliveries(
    store: Store, fates: dict[str, str], wanted: tuple[str, str | None]
) -> None:
    deliveries = queue(store, "mqtt", "webhook")
    ended: list[Settled] = []
    for channel, fate in fates.items():
        delivery = deliveries[channel]
        if fate == "sent":
            mark_sent(store, {delivery.id: NOW + 1})
        elif fate == "retry":
            mark_retry(store, delivery.id, NOW + 5, "timed out")
        elif fate == "dead":
            ended += mark_dead(store, delivery.id, "410 Gone")
        else:
            ended += mark_skipped(store, delivery.id, fate)
    offer = deliveries["mqtt"].offer
    assert state(store, deliveries["mqtt"]) == wanted
    final, reason = wanted
    assert ended == ([Settled(offer, "ada", final, reason)] if reason else [])


def test_results_of_many_are_written_at_once(store: Store) -> None:
    """Each offer by its own deliveries, whatever became of the others in the same transaction."""
    fates: list[tuple[str, dict[str, str], tuple[str, str | None]]] = [
        ("a", {"mqtt": "sent", "webhook": "sent"}, ("sent", None)),
        ("b", {"mqtt": "sent", "webhook": "dead"}, ("sent", None)),
        ("c", {"mqtt": "dead", "webhook": "skipped"}, ("failed", "undeliverable")),
        ("d", {"mqtt": "skipped", "webhook": "retry"}, ("queued", None)),
        ("e", {"mqtt": "skipped", "webhook": "skipped"}, ("withdrawn", "left_zone")),
        ("f", {"mqtt": "skipped"}, ("queued", None)),
    ]
    results: list[Result] = []
    queues: dict[str, dict[str, Delivery]] = {}
    for number, (zone, ends, _) in enumerate(fates):
        outcome = story(zone=zone, started=NOW + number, channels=("mqtt", "webhook"))
        commit(store, outcome)
        queues[zone] = {one.channel: one for one in outcome.deliveries}
        for channel, end in ends.items():
            why = {"skipped": "left_zone", "sent": ""}.get(end, "no\0 \ud800")
            results.append(Result(queues[zone][channel].id, end, NOW + 50, why))  # type: ignore[arg-type]
    ended = record(store, results)
    assert {zone: state(store, queues[zone]["mqtt"]) for zone, _, _ in fates} == {zone: end for zone, _, end in fates}
    wanted = [Settled(queues[z]["mqtt"].offer, "ada", *end) for z, _, end in fates if z in "ce"]
    assert ended == sorted((one for one in wanted), key=lambda one: one.offer)
    (waiting,) = [one for one in outbox.due(store, NOW + 60) if one.attempts]
    assert (waiting.delivery.channel, waiting.delivery.due, waiting.error) == ("webhook", NOW + 50, "no? ?")
    assert record(store, []) == []


def test_open_zones_are_those_of_visits_that_have_not_ended(store: Store) -> None:
    here, left = story(), story(zone="tills", started=NOW + 5)
    for outcome in (here, left, story("ben", "bread")):
        commit(store, outcome)
    commit(store, ending(left, NOW + 30))
    assert history.open_zones(store, ["ada", "ben", "eve"]) == {"ada": {("lyon", "coffee")}, "ben": {("lyon", "bread")}}
    assert history.open_zones(store, []) == {}


def test_due_is_what_waits_and_whose_time_has_come(store: Store) -> None:
    first = queue(store, "mqtt", "webhook")
    second = queue(store, "mqtt", shopper="ben", started=NOW + 60)
    assert outbox.due(store, NOW) == []
    assert [one.delivery for one in outbox.due(store, NOW + 10, channel="mqtt")] == [first["mqtt"]]
    assert [one.delivery for one in outbox.due(store, NOW + 99, channel="mqtt")] == [first["mqtt"], second["mqtt"]]
    assert len(outbox.due(store, NOW + 99)) == 3
    assert len(outbox.due(store, NOW + 99, limit=2)) == 2
    assert outbox.next_due(store, "mqtt") == first["mqtt"].due
    assert outbox.next_due(store, "owntracks") is None
    mark_sent(store, {first["mqtt"].id: NOW + 11})
    assert outbox.next_due(store, "mqtt") == second["mqtt"].due


def test_a_retry_waits_and_remembers(store: Store) -> None:
    delivery = queue(store, "webhook")["webhook"]
    mark_retry(store, delivery.id, NOW + 30, "503 Service Unavailable" + "x" * 1000)
    mark_retry(store, delivery.id, NOW + 90, "timed out")
    assert outbox.due(store, NOW + 89) == []
    (waiting,) = outbox.due(store, NOW + 90)
    assert (waiting.attempts, waiting.error, waiting.delivery.due) == (2, "timed out", NOW + 90)


def test_a_dead_letter_is_seen_and_revived(store: Store) -> None:
    delivery = queue(store, "webhook")["webhook"]
    mark_retry(store, delivery.id, NOW + 5, "timed out")
    mark_dead(store, delivery.id, "410 Gone")
    (letter,) = outbox.dead(store)
    assert (letter.delivery.id, letter.state, letter.attempts, letter.error) == (delivery.id, "dead", 2, "410 Gone")
    assert letter.offer.title == "Welcome"
    assert outbox.requeue(store, delivery.id, NOW + 60)
    assert not outbox.requeue(store, delivery.id, NOW + 60)
    assert not outbox.requeue(store, "none", NOW + 60)
    assert outbox.dead(store) == []
    (waiting,) = outbox.due(store, NOW + 60)
    assert waiting.attempts == 0
    assert state(store, delivery) == ("queued", None)


def test_an_ended_delivery_stays_ended(store: Store) -> None:
    delivery = queue(store, "mqtt")["mqtt"]
    mark_sent(store, {delivery.id: NOW + 1})
    mark_skipped(store, delivery.id, "expired")
    mark_dead(store, delivery.id, "late")
    mark_retry(store, delivery.id, NOW + 9, "late")
    assert outbox.counts(store) == {"queued": 0, "sent": 1, "skipped": 0, "dead": 0}
    assert state(store, delivery) == ("sent", None)


def test_clearance_reads_what_is_now(store: Store) -> None:
    delivery = queue(store, "mqtt")["mqtt"]
    assert outbox.clearances(store, [delivery.id]) == {delivery.id: Clearance("queued", "queued", True)}
    people.set_consent(store, "ada", "in-store-offers", False, NOW + 1, "shopper")
    assert outbox.clearances(store, [delivery.id]) == {delivery.id: Clearance("queued", "queued", False)}
    offers.withdraw(store, delivery.offer, "withdrawn", NOW + 2)
    assert outbox.clearances(store, [delivery.id]) == {delivery.id: Clearance("skipped", "withdrawn", False)}
    people.erase(store, "ada")
    assert outbox.clearances(store, [delivery.id]) == {}


def test_a_channel_taken_out_of_service_is_given_up(store: Store) -> None:
    deliveries = queue(store, "mqtt", "webhook")
    assert outbox.abandon(store, {"mqtt", "webhook"}) == []
    assert outbox.abandon(store, {"mqtt"}) == []
    (letter,) = outbox.dead(store)
    assert (letter.delivery, letter.error) == (deliveries["webhook"], "no channel webhook is configured")
    assert outbox.abandon(store, set()) == [Settled(deliveries["mqtt"].offer, "ada", "failed", "undeliverable")]


def test_offers_of_a_shopper(store: Store) -> None:
    old, new = story(started=NOW, zone="coffee"), story(started=NOW + 60, zone="tills")
    for outcome in (old, new, story("ben")):
        commit(store, outcome)
    (first,), (second,) = old.offers, new.offers
    assert offers.offers(store, "ada") == [StoredOffer(second, "queued"), StoredOffer(first, "queued")]
    assert offers.offers(store, "ada", limit=1) == [StoredOffer(second, "queued")]
    assert [one.offer for one in offers.offers(store, "ada", active_at=first.expires)] == [second]
    assert offers.withdraw(store, second.id, "operator", NOW + 70)
    assert not offers.withdraw(store, second.id, "operator", NOW + 70)
    assert not offers.withdraw(store, "none", "operator", NOW + 70)
    assert offers.offers(store, "ada", active_at=first.expires) == []
    assert offers.offer(store, second.id) == StoredOffer(second, "withdrawn", "operator")
    assert offers.offer(store, "none") is None


def test_an_offer_is_first_seen_once(store: Store) -> None:
    delivery = queue(store, "inbox")["inbox"]
    assert offers.mark_seen(store, delivery.offer, NOW + 5)
    assert offers.mark_seen(store, delivery.offer, NOW + 50)
    assert not offers.mark_seen(store, "none", NOW + 5)
    stored = offers.offer(store, delivery.offer)
    assert stored is not None
    assert stored.seen == NOW + 5


def test_latency_is_to_the_first_hand_over_outside_the_house(store: Store) -> None:
    outcome = story(channels=("inbox", "mqtt", "webhook"))
    commit(store, outcome)
    (made,) = outcome.offers
    handed = dict(zip((one.id for one in outcome.deliveries), (0.1, 0.4, 0.3), strict=True))
    inbox_only = story("ben", channels=("inbox",))
    commit(store, inbox_only)
    commit(store, story("ben", "tills", NOW + 60))  # waits still
    assert offers.latencies(store) == []
    mark_sent(store, {one: made.observed + seconds for one, seconds in handed.items()})
    mark_sent(store, {inbox_only.deliveries[0].id: inbox_only.offers[0].observed + 0.2})
    commit(store, ending(outcome, NOW + 30))
    mark_sent(store, {one.delivery.id: NOW + 40 for one in outbox.due(store, NOW + 30)})  # withdrawals
    assert sorted(offers.latencies(store)) == pytest.approx([0.2, 0.3], abs=1e-6)
    assert offers.latencies(store, since=made.created + 1) == []
