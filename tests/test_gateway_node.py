"""A gateway without a broker: time from outside, what is kept, what is told."""

from pathlib import Path

import pytest

from gateway.advertisement import Advertisement
from gateway.node import Gateway
from gateway.settings import GatewaySettings
from gateway.spool import Entry
from gateway.version import VERSION
from proximity import wire

NOBODY = "mqtt://127.0.0.1:1"
BEACON = "ibeacon:e2c56db5-dffb-48d2-b060-d0f5a71096e0:1:1"
MAC = "mac:aa:bb:cc:dd:ee:ff"
T = 1_764_000_000.0


def messages(gateway: Gateway) -> list[wire.SightingsMessage]:
    found, entry = [], None
    while (entry := gateway.spool.next(entry)) is not None:
        channel, payload = gateway._render(entry)
        assert channel == "sightings"
        found.append(wire.decode(wire.SightingsMessage, payload))
    return found


@pytest.fixture
def clock() -> list[float]:
    return [T]


@pytest.fixture
def gateway(clock: list[float]) -> Gateway:
    return Gateway(GatewaySettings("shop", "g1", NOBODY), lambda: clock[0])


def test_a_second_becomes_a_message(gateway: Gateway, clock: list[float]) -> None:
    gateway.hear(BEACON, -60, T + 0.1, -59.0)
    gateway.hear(Advertisement("ibeacon", BEACON, -59.0, MAC), -62, T + 0.3)
    gateway.tick(T + 0.9)
    assert messages(gateway) == []
    clock[0] = T + 1.2
    gateway.tick()
    row = wire.Row(BEACON, 1_764_000_000_200, -61.0, 2, -59.0)
    assert messages(gateway) == [
        wire.SightingsMessage(gateway.spool.boot, 1, "synced", [row], sent=1_764_000_001_200)
    ]  # fmt: skip
    assert not gateway.drained
    gateway.spool.acked(gateway.spool.boot, 1)
    assert gateway.drained


@pytest.mark.parametrize(
    ("keep", "device"),
    [
        (None, BEACON),
        (["mac:"], MAC),  # the tag is registered by its address
        (["ibeacon:", "mac:"], BEACON),
        (["eid:"], None),
    ],
)
def test_a_packet_has_two_names(gateway: Gateway, keep: list[str] | None, device: str | None) -> None:
    gateway._inbox.append(wire.ConfigMessage(1, keep=keep))
    gateway.tick(T)
    gateway.hear(Advertisement("ibeacon", BEACON, -59.0, MAC), -62, T)
    gateway.hear(Advertisement("other", None, None, "mac:11:22:33:44:55:66"), -62, T)
    gateway.flush()
    rows = [row for message in messages(gateway) for row in message.rows]
    assert [row.device for row in rows if row.device != "mac:11:22:33:44:55:66"] == ([device] if device else [])
    assert all(row.power == (-59.0 if row.device == BEACON else None) for row in rows)


def test_a_configuration_that_is_a_slip_is_refused(gateway: Gateway) -> None:
    gateway._inbox.append(wire.ConfigMessage(3, sample_every=0.0))
    gateway._inbox.append(wire.ConfigMessage(4, sample_every=float("nan")))
    gateway.tick(T)
    assert gateway.config_version is None


def test_health_counts(gateway: Gateway) -> None:
    gateway.hear(BEACON, -60, T)
    gateway.hear(MAC, -60, T)
    gateway.hear(BEACON, -127, T)
    gateway.temperature = lambda: 48.3
    gateway.adapter = "ready"
    gateway.tick(T + 1)
    assert gateway.health(T + 15.04) == wire.HealthMessage(
        gateway.spool.boot, uptime=15.0, heard=3, sampled=1, spooled=1, ignored=1, adapter="ready", temperature=48.3,
        held={gateway.spool.boot: 1},
    )  # fmt: skip
    assert gateway._status(True) == wire.StatusMessage(
        "online", version=VERSION, boot=gateway.spool.boot, at=1_764_000_000_000
    )  # fmt: skip


def test_a_spool_of_another_version_goes_out_empty(gateway: Gateway) -> None:
    gateway.spool.append(b"\xc1 not msgpack")
    entry = gateway.spool.next()
    assert isinstance(entry, Entry)
    (message,) = messages(gateway)
    assert message == wire.SightingsMessage(gateway.spool.boot, 1, "unsynced", [])
    assert gateway.health(T).dropped == 1


def test_two_gateways_of_one_process_have_two_spools(tmp_path: Path) -> None:
    one = Gateway(GatewaySettings("shop", "g1", NOBODY, spool=tmp_path))
    two = Gateway(GatewaySettings("shop", "g2", NOBODY, spool=tmp_path))
    one.hear(BEACON, -60, T)
    one.stop()
    two.stop()
    assert len(list(tmp_path.glob("shop/g1/*.seg"))) == 1
    assert not list(tmp_path.glob("shop/g2/*.seg"))


def test_names_must_be_slugs() -> None:
    with pytest.raises(ValueError, match="slug"):
        Gateway(GatewaySettings("Shop 1", "g1", NOBODY))
