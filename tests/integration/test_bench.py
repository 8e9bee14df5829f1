"""The benchmarks of the whole service: three processes and a broker, at sizes that take no time."""

from proximity.bench.ingest import ingest
from proximity.bench.latency import latency
from proximity.bench.memory import memory


def test_what_is_sent_is_committed() -> None:
    report = ingest(gateways=20, phones=50, messages=400, fixes=400)
    sightings, every_stop, fixes = report.rows
    assert "400 messages" in sightings.note
    assert every_stop.what == "… an offer at every stop"
    assert "400 messages" in fixes.note
    assert all(row.value > 0 and row.limit for row in report.rows)


def test_a_whole_service_is_weighed_with_the_devices_that_it_tracks() -> None:
    (row,) = memory((), 100, service=(200,), seconds=3).rows
    assert (row.what, row.unit) == ("whole service, 200 devices", "MB")
    assert 50 < row.value < 5_000
    assert "200 devices, 10 gateways" in row.note
    assert " 0 sightings" not in row.note


def test_offers_are_handed_over_while_it_is_loaded() -> None:
    *rows, burst = latency(gateways=20, seconds=10.0, settled=8.0).rows
    parts = [[row for row in rows if row.what.endswith(part)] for part in (": p50", ": p99", ": p99.9")]
    assert [len(some) for some in parts] == [4, 4, 4]
    assert all(0 < half.value <= most.value <= all_.value for half, most, all_ in zip(*parts, strict=True))
    assert (burst.value > 0, "offers; eight tenths of them" in burst.note) == (True, True)
