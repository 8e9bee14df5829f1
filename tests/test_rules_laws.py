"""Laws of deciding, under hypothesis: the order of rules and files changes nothing, nor does doing it twice."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.model import Sent
from rules.decide import decide
from rules.load import load_rules
from rules.ruleset import RuleSet
from tests.rules.support import CATALOG, NOON, ada, epoch, facts, happening, load

HEADER = """
defaults:
  languages: [fr, en]
  limits: [{scope: all, max: 3, every: 24h}]
  quiet: {window: night}
windows:
  night: {from: "21:00", to: "08:30"}
  midday: {days: [mon, tue, wed, thu, fri], from: "11:30", to: "14:00"}
segments:
  fans: '"coffee" in shopper.wishlist'
"""
_BODIES = [
    "", "    status: draft\n", "    where: {during: midday}\n", "    where: {all: [shopper.visits_30d >= 3]}\n",
    "    where: {segments: {any: [fans]}}\n", "    where: {store: open}\n", "    class: service\n",
    "    limits: [{scope: rule, max: 1, every: 1h}]\n", "    compete: {group: a, priority: 1}\n",
    "    compete: {group: a, priority: 2}\n", "    compete: {group: b}\n", "    consent: {purpose: orders}\n",
    "    where: {all: [weather.temp_c < 3.0], missing: {weather.temp_c: fail}}\n",
]  # fmt: skip
_SAY = '    say: {fr: {title: "{{ shopper.first_name }}", body: B}, en: {title: T, body: B}}\n'


@st.composite
def rules(draw: st.DrawFn) -> list[str]:
    bodies = draw(st.lists(st.sampled_from(_BODIES), min_size=1, max_size=8))
    zones = ["{zone: coffee-aisle}", "{tag: food}", "{zone: [coffee-aisle, tills], stores: [paris]}"]
    return [
        f"  - id: rule-{i}\n    when: {{enter: {draw(st.sampled_from(zones))}}}\n{body}{_SAY}"
        for i, body in enumerate(bodies)
    ]


hours = st.integers(min_value=0, max_value=14 * 24)
people = st.builds(
    ada,
    languages=st.sampled_from([(), ("en",), ("fr", "en"), ("de",)]),
    attributes=st.fixed_dictionaries(
        {}, optional={"first_name": st.just("Ada"), "visits_30d": st.integers(0, 9), "wishlist": st.just(["coffee"])}
    ),
    consents=st.dictionaries(st.sampled_from(["in-store-offers", "orders"]), st.booleans()),
)
histories = st.lists(
    st.builds(
        Sent,
        st.just("ada"),
        st.sampled_from(["rule-0", "rule-1", "other"]),
        st.sampled_from(["paris", "berlin"]),
        st.integers(0, 100_000).map(lambda back: epoch(NOON) - back),
        st.booleans(),
    ),
    max_size=4,
)
known = st.builds(
    lambda hour, shopper, history, temperature: facts(
        epoch(NOON) + hour * 3600, shopper=shopper, history=history, attributes=temperature
    ),
    hours,
    people,
    histories,
    st.sampled_from([{}, {"weather": {"temp_c": 1.0}}]),
)


def _loaded(files: dict[str, str]) -> RuleSet:
    ruleset = load_rules(files, CATALOG).ruleset
    assert ruleset is not None
    return ruleset


def _answers(ruleset: RuleSet, known: Any) -> list[Any]:
    """Everything decided, but for the lines in the traces."""
    verdicts = decide(ruleset, happening(at=known.now), known)
    return [
        (v.decision.id, v.decision.rule, v.decision.reason, v.offer, [(s.name, s.passed) for s in v.decision.trace])
        for v in verdicts
    ]


@settings(deadline=None, max_examples=60)
@given(rules(), known, st.randoms(use_true_random=False))
def test_the_order_of_rules_changes_nothing(texts: list[str], known: Any, random: Any) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    one = _loaded({"a.rules.yaml": HEADER + "rules:\n" + "".join(texts)})
    other = _loaded({"a.rules.yaml": HEADER + "rules:\n" + "".join(shuffled)})
    assert _answers(one, known) == _answers(other, known)


@settings(deadline=None, max_examples=60)
@given(rules(), known, st.integers(0, 8), st.booleans())
def test_splitting_a_file_changes_nothing(texts: list[str], known: Any, cut: int, repeat: bool) -> None:
    whole = _loaded({"a.rules.yaml": HEADER + "rules:\n" + "".join(texts)})
    first, second = texts[:cut], texts[cut:]
    files = {"z.rules.yaml": HEADER + ("rules:\n" + "".join(first) if first else "")}
    if second:
        files["a.rules.yaml"] = (HEADER if repeat else "") + "rules:\n" + "".join(second)
    assert _answers(whole, known) == _answers(_loaded(files), known)


@settings(deadline=None, max_examples=60)
@given(rules(), known)
def test_the_same_input_decides_the_same_and_every_no_has_a_reason(texts: list[str], known: Any) -> None:
    ruleset = _loaded({"a.rules.yaml": HEADER + "rules:\n" + "".join(texts)})
    verdicts = decide(ruleset, happening(at=known.now), known)
    assert verdicts == decide(ruleset, happening(at=known.now), known)
    assert len(verdicts) == len({verdict.decision.id for verdict in verdicts}) == len(texts)
    for verdict in verdicts:
        decision = verdict.decision
        assert (decision.outcome == "sent") == (decision.reason is None) == (verdict.offer is not None)
        assert decision.outcome == "sent" or (decision.detail and not decision.trace[-1].passed)
    marketing = [v.offer for v in verdicts if v.offer is not None and not v.offer.service]
    counted = [s for s in known.history if not s.service and s.at > known.now - 86400]
    assert len(marketing) <= max(0, 3 - len(counted))


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=80))
def test_no_text_makes_the_loader_raise(text: str) -> None:
    for whole in (text, f"rules:\n  - id: a\n    when: {text}", f"rules:\n  - {{id: a, where: {{all: [{text!r}]}}}}"):
        loaded = load(whole)
        assert loaded.ruleset is None or not loaded.errors
        for one in loaded.diagnostics:
            assert one.render()


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="{}%|.:'\" abshopr_=<>&0123", max_size=40))
def test_no_condition_and_no_template_makes_the_loader_raise(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    body = f"rules:\n  - id: a\n    when: {{enter: {{zone: tills}}}}\n    where: {{all: [{quoted}]}}\n"
    loaded = load(f"{body}    say: {{en: {{title: {quoted}, body: {quoted}}}}}\n")
    for one in loaded.diagnostics:
        line = loaded.diagnostics[0].source
        assert one.mark.column >= 1
        assert line is not None
        assert one.render()
