"""The benchmarks of the whole service: three processes and a broker, at sizes that take no time."""

from proximity.bench.ingest import ingest
from proximity.bench.latency import latency


def test_what_is_sent_is_committed() -> None:
    report = ingest(gateways=20, phones=50, messages=400, fixes=400)
    sightings, fixes = report.rows
    assert "400 messages" in sightings.note
    assert "400 messages" in fixes.note
    assert all(row.value > 0 and row.limit for row in report.rows)


def test_offers_are_handed_over_while_it_is_loaded() -> None:
    report = latency(gateways=20, seconds=6.0, warm_up=1.0)
    assert [row.what for row in report.rows] == ["p50", "p99", "p99.9"]
    assert 0 < report.rows[0].value <= report.rows[1].value <= report.rows[2].value
