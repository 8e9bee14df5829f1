"""One transaction per batch: whole or not at all, once however often."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.model import Late, Shopper
from proximity.store import history, offers, outbox, people, tables
from proximity.store.commit import Committed, GatewayOffset, Outcome, commit, load_offsets
from proximity.store.database import Store, StoreError, open_store
from tests.outbox_marks import mark_retry, mark_sent
from tests.store_house import NOW, decision, ending, everything, offer, rows, story, to, transition, visit

pytest_plugins = ["tests.store_fixtures"]


def test_an_outcome_is_stored_whole(store: Store) -> None:
    outcome = story()
    committed = commit(store, outcome)
    (made,), (entered,), (stay,), (decided,) = outcome.offers, outcome.transitions, outcome.visits, outcome.decisions
    assert committed == Committed(
        transitions=frozenset({entered.id}),
        decisions=frozenset({decided.id}),
        offers=frozenset({made.id}),
        deliveries=frozenset(one.id for one in outcome.deliveries),
        late=committed.late,
    )
    assert len(committed.late) == 1
    assert history.transition(store, entered.id) == entered
    assert history.visits(store) == [stay]
    assert history.decision(store, decided.id) == decided  # with its trace
    stored = offers.offer(store, made.id)
    assert stored == offers.StoredOffer(made, "queued")
    assert [one.delivery for one in outbox.due(store, NOW + 10)] == sorted(outcome.deliveries, key=lambda one: one.id)
    assert load_offsets(store) == {("lyon", "shelf-1", "boot-1"): (1, ())}


def test_the_same_outcome_again_changes_nothing(store: Store) -> None:
    outcome = story()
    commit(store, outcome)
    before = everything(store)
    assert commit(store, outcome) == Committed()
    assert everything(store) == before


def test_a_repetition_that_decides_otherwise_does_not_count(store: Store) -> None:
    """After a crash the rules may have been edited: what was decided stays decided."""
    first = story()
    commit(store, first)
    (entered,) = first.transitions
    other = decision(entered, "another-rule")
    again = dataclasses.replace(
        first,
        decisions=[decision(entered, outcome="withheld", reason="no_consent"), other],
        offers=[*first.offers, offer(other, entered)],
        deliveries=[*first.deliveries, *to(first.offers[0], "owntracks")],
    )
    assert commit(store, again) == Committed()
    assert history.decisions(store) == list(first.decisions)
    assert len(rows(store, tables.deliveries)) == 2


def test_a_later_decision_on_an_old_transition_counts(store: Store) -> None:
    first = story()
    commit(store, first)
    (entered,) = first.transitions
    later = decision(entered, "another-rule")
    assert commit(store, Outcome(decisions=[later], at=NOW + 60)).decisions == {later.id}


def test_a_visit_only_grows(store: Store) -> None:
    for stay in (
        visit(last_seen=NOW + 10, confidence=0.8),
        visit(last_seen=NOW + 30, confidence=0.95, device="owntracks:ada/phone"),
        visit(last_seen=NOW + 20, confidence=0.5),  # an older word
    ):
        commit(store, Outcome(visits=[stay]))
    grown = visit(last_seen=NOW + 30, confidence=0.95, device="owntracks:ada/phone")
    assert history.visits(store) == [grown]
    commit(store, Outcome(visits=[visit(last_seen=NOW + 31, ended=NOW + 32, cause="left")]))
    commit(store, Outcome(visits=[visit(last_seen=NOW + 30)]))
    commit(store, Outcome(visits=[visit(last_seen=NOW + 31, ended=NOW + 99, cause="silence")]))
    (ended,) = history.visits(store)
    assert (ended.last_seen, ended.ended, ended.cause) == (NOW + 31, NOW + 32, "left")


OFFSETS = [
    # what commits say                            what is stored: seq, ahead, messages, rows
    ([(5, (), 5, 100)], (5, (), 5, 100)),
    ([(5, (), 5, 100), (8, (), 3, 60)], (8, (), 8, 160)),
    ([(5, (), 5, 100), (5, (), 0, 0)], (5, (), 5, 100)),
    ([(5, (), 5, 100), (5, (), 5, 100)], (5, (), 5, 100)),  # the same commit again
    ([(8, (), 8, 160), (5, (), 5, 100)], (8, (), 8, 160)),  # never back
    ([(5, (), 5, 100), (5, (7, 9), 2, 40)], (5, (7, 9), 7, 140)),  # messages beyond a gap
    ([(5, (7, 9), 7, 140), (9, (), 2, 40)], (9, (), 9, 180)),  # the gap closed
]


@pytest.mark.parametrize(("said", "stored"), OFFSETS)
def test_offsets_go_forward(
    store: Store, said: list[tuple[int, tuple[int, ...], int, int]], stored: tuple[int, tuple[int, ...], int, int]
) -> None:
    for seq, ahead, messages, number in said:
        offset = GatewayOffset("lyon", "shelf-1", "boot-1", seq=seq, messages=messages, rows=number, ahead=ahead)
        commit(store, Outcome(offsets=[offset]))
    (row,) = rows(store, tables.offsets, without=("at",))
    assert (row["seq"], row["messages"], row["rows"]) == (stored[0], *stored[2:])
    assert load_offsets(store) == {("lyon", "shelf-1", "boot-1"): stored[:2]}


def test_each_boot_and_gateway_counts_alone(store: Store) -> None:
    said = [("lyon", "a", "1", 3), ("lyon", "a", "2", 1), ("lyon", "b", "1", 9), ("nice", "a", "1", 4)]
    commit(store, Outcome(offsets=[GatewayOffset(*boot, seq=seq, messages=seq, rows=seq) for *boot, seq in said]))
    assert load_offsets(store) == {(site, gateway, boot): (seq, ()) for site, gateway, boot, seq in said}


def test_rows_of_unknown_shoppers_are_dropped(store: Store) -> None:
    """A shopper was erased while a batch with a trace of his was on its way."""
    ada, stranger = story(), story("stranger")
    both = Outcome(
        transitions=[*ada.transitions, *stranger.transitions],
        visits=[*ada.visits, *stranger.visits],
        decisions=[*ada.decisions, *stranger.decisions],
        offers=[*ada.offers, *stranger.offers],
        deliveries=[*ada.deliveries, *stranger.deliveries],
        late=[*ada.late, *stranger.late],
    )
    committed = commit(store, both)
    assert committed.unknown == {"stranger"}
    assert committed.transitions == {ada.transitions[0].id}
    assert committed.deliveries == {one.id for one in ada.deliveries}
    assert "stranger" not in str(everything(store))


# -- the end of a visit -----------------------------------------------------------------------------------------------


def states(store: Store) -> dict[tuple[str, str], tuple[str, str | None]]:
    return {(row["channel"], row["kind"]): (row["state"], row["reason"]) for row in rows(store, tables.deliveries)}


def test_leaving_takes_a_waiting_offer_back(store: Store) -> None:
    first = story()
    commit(store, first)
    committed = commit(store, ending(first, NOW + 30))
    assert committed.withdrawn == ((first.offers[0].id, "ada"),)
    stored = offers.offer(store, first.offers[0].id)
    assert stored is not None
    assert (stored.state, stored.state_reason) == ("withdrawn", "left_zone")
    assert states(store) == {("mqtt", "offer"): ("skipped", "left_zone"), ("inbox", "offer"): ("skipped", "left_zone")}
    assert outbox.due(store, NOW + 60) == []


def test_leaving_takes_a_sent_offer_back_where_that_can_be_done(store: Store) -> None:
    first = story(channels=("mqtt", "owntracks", "webhook", "inbox"))
    commit(store, first)
    mqtt, owntracks, webhook, inbox = first.deliveries
    mark_sent(store, {mqtt.id: NOW + 1, owntracks.id: NOW + 1, inbox.id: NOW + 1})
    mark_retry(store, webhook.id, NOW + 40, "timed out")  # it may have arrived
    commit(store, ending(first, NOW + 30))
    assert states(store) == {
        ("mqtt", "offer"): ("sent", None),
        ("owntracks", "offer"): ("sent", None),
        ("inbox", "offer"): ("sent", None),
        ("webhook", "offer"): ("skipped", "left_zone"),
        ("mqtt", "withdraw"): ("queued", None),
        ("inbox", "withdraw"): ("queued", None),
        ("webhook", "withdraw"): ("queued", None),
    }
    notices = outbox.due(store, NOW + 30)
    assert {one.delivery.channel: one.delivery.address for one in notices} == {
        "mqtt": mqtt.address,
        "webhook": webhook.address,
        "inbox": inbox.address,
    }
    assert {one.offer.id for one in notices} == {first.offers[0].id}
    assert commit(store, ending(first, NOW + 30)).withdrawn == ()


@pytest.mark.parametrize(
    ("offered", "end", "withdrawn"),
    [
        ({}, NOW + 30, True),
        ({"on_exit": "keep"}, NOW + 30, False),
        ({"expires": NOW + 20}, NOW + 30, False),  # nothing left to take back
    ],
)
def test_what_leaving_takes_back(store: Store, offered: dict[str, object], end: float, withdrawn: bool) -> None:
    first = story(**offered)
    commit(store, first)
    assert bool(commit(store, ending(first, end)).withdrawn) is withdrawn


def test_leaving_another_zone_takes_nothing_back(store: Store) -> None:
    coffee, tills = story(zone="coffee"), story(zone="tills")
    commit(store, coffee)
    commit(store, tills)
    assert commit(store, ending(tills, NOW + 30)).withdrawn == ((tills.offers[0].id, "ada"),)
    assert offers.offers(store, "ada", active_at=NOW + 31) == [offers.StoredOffer(coffee.offers[0], "queued")]


def test_an_offer_that_the_exit_caused_stays(store: Store) -> None:
    stay = visit(ended=NOW + 30, cause="left")
    left = transition(stay, "exit", NOW + 30)
    decided = decision(left, "goodbye")
    goodbye = offer(decided, left, only_while="anywhere")
    committed = commit(
        store,
        Outcome(
            transitions=[left], visits=[stay], decisions=[decided], offers=[goodbye], deliveries=to(goodbye, "mqtt")
        ),
    )
    assert committed.withdrawn == ()
    assert [one.offer for one in outbox.due(store, NOW + 60)] == [goodbye]


def test_enter_and_exit_in_one_batch_send_nothing(store: Store) -> None:
    first = story()
    last = ending(first, NOW + 2)
    both = dataclasses.replace(
        first, transitions=[*first.transitions, *last.transitions], visits=last.visits, at=NOW + 3
    )
    assert commit(store, both).withdrawn == ((first.offers[0].id, "ada"),)
    assert outbox.due(store, NOW + 60) == []


def test_a_send_that_overtakes_the_withdrawal_is_taken_back(store: Store) -> None:
    """The channel had the offer in its hands when the exit was committed."""
    first = story(channels=("mqtt", "owntracks"))
    commit(store, first)
    commit(store, ending(first, NOW + 30))
    mark_sent(store, {one.id: NOW + 31 for one in first.deliveries})
    (notice,) = outbox.due(store, NOW + 31)
    assert (notice.delivery.kind, notice.delivery.channel) == ("withdraw", "mqtt")
    stored = offers.offer(store, first.offers[0].id)
    assert stored is not None
    assert stored.state == "withdrawn"


# -- laws -------------------------------------------------------------------------------------------------------------


def test_a_refused_part_refuses_the_whole(store: Store) -> None:
    first = story()
    broken = dataclasses.replace(first, late=[Late("app:ada", "ada", at=None)])  # type: ignore[arg-type]
    before = everything(store)
    with pytest.raises(StoreError, match=r"(?i)not.null") as raised:
        commit(store, broken)
    assert not raised.value.temporary
    assert everything(store) == before


TALE = [
    story("ada", "coffee", NOW),
    story("ben", "coffee", NOW + 1),
    story("ada", "tills", NOW + 2),
    ending(story("ada", "coffee", NOW), NOW + 3),
    story("ada", "shoes", NOW + 4),
    ending(story("ben", "coffee", NOW + 1), NOW + 5),
]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, object]]]:
    """What the tale leaves behind when it is told straight."""
    return told(tmp_path_factory, range(len(TALE)))


def told(factory: pytest.TempPathFactory, order: "range | list[int]") -> dict[str, list[dict[str, object]]]:
    store = open_store(f"sqlite:///{factory.mktemp('tale')}/proximity.db")
    store.migrate()
    for name in ("ada", "ben"):
        people.put_shopper(store, Shopper(name), token=name, at=NOW)
    for index in order:
        commit(store, TALE[index])
    found = everything(store)
    store.close()
    return found


@settings(max_examples=40)
@given(restarts=st.lists(st.integers(0, len(TALE) - 1), max_size=4))
def test_going_back_and_repeating_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, truth: dict[str, list[dict[str, object]]], restarts: list[int]
) -> None:
    """Killed after any commit, started from any older one, as often as you like: the end is the same."""
    order: list[int] = []
    for back in sorted(restarts):
        order += range(len(TALE)) if not order else range(back, len(TALE))
    order += range(order[-1] + 1, len(TALE)) if order else range(len(TALE))
    assert told(tmp_path_factory, order) == truth


def test_many_threads_commit_the_same_and_each_row_is_new_once(store: Store) -> None:
    outcomes = [story(name, f"zone-{n}", NOW + n) for n in range(12) for name in ("ada", "ben")]

    def work(offset: int) -> list[Committed]:
        turned = outcomes[offset:] + outcomes[:offset]
        return [commit(store, dataclasses.replace(one, offsets=())) for one in turned]

    with ThreadPoolExecutor(4) as pool:
        committed = [one for batch in pool.map(work, (0, 7, 13, 20)) for one in batch]
    for part in ("transitions", "decisions", "offers", "deliveries"):
        new = [new_id for one in committed for new_id in getattr(one, part)]
        assert sorted(new) == sorted({row.id for outcome in outcomes for row in getattr(outcome, part)})


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # which takes the fewest parameters
def test_a_large_outcome_passes_the_limit_of_parameters(store: Store) -> None:
    stays = [visit(zone=f"zone-{n % 100}", started=NOW + n, ended=NOW + n + 1.0, cause="left") for n in range(17_000)]
    left = [transition(stay, "exit", stay.ended) for stay in stays]
    assert len(commit(store, Outcome(transitions=left, visits=stays, at=NOW)).transitions) == 17_000
    assert history.totals(store)["visits"] == 17_000
