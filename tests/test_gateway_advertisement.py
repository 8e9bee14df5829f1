"""Real packets and arbitrary bytes through the parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.advertisement import EDDYSTONE, Advertisement, from_fields, mac_id, parse

UUID = "e2c56db5dffb48d2b060d0f5a71096e0"
IBEACON = "ibeacon:e2c56db5-dffb-48d2-b060-d0f5a71096e0:1:258"
ID20 = "00112233445566778899aabbccddeeff00010002"
MAC = "mac:aa:bb:cc:00:11:22"


@pytest.mark.parametrize(
    ("payload", "kind", "beacon", "power"),
    [
        (f"0201061aff4c000215{UUID}00010102c5", "ibeacon", IBEACON, -59.0),
        (f"1aff4c000215{UUID}00010102c5", "ibeacon", IBEACON, -59.0),  # without FLAGS
        (f"1aff4c000215{UUID}0001010200", "ibeacon", IBEACON, None),  # 0 dBm at 1 m is not to be believed
        (f"1bff1801beac{ID20}c500", "altbeacon", f"altbeacon:{ID20}", -59.0),
        (f"1bffffffbeac{ID20}c500", "altbeacon", f"altbeacon:{ID20}", -59.0),  # any company
        ("0303aafe1716aafe00ee8b0ca750095477cb3e770011223344550000", "eddystone",
         "eddystone:8b0ca750095477cb3e77:001122334455", -59.0),
        ("1516aafe00ee8b0ca750095477cb3e77001122334455", "eddystone",
         "eddystone:8b0ca750095477cb3e77:001122334455", -59.0),  # the reserved bytes left out
        ("0d16aafe30eea9b76a71c5f89290", "eid", "eid:a9b76a71c5f89290", -59.0),
        ("0816aafe10ee00676f6f", "eddystone-url", None, None),
        ("1116aafe20000bb815800000000100000064", "eddystone-tlm", None, None),
    ],
)  # fmt: skip
def test_packets(payload: str, kind: str, beacon: str | None, power: float | None) -> None:
    assert parse(bytes.fromhex(payload)) == Advertisement(kind, beacon, power)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "00",
        "1aff4c0002",  # length says more than there is
        f"1bff4c000215{UUID}00010102c500",  # a byte too many for an iBeacon
        f"19ff4c000215{UUID}00010102",  # one too few
        f"1aff4c000216{UUID}00010102c5",
        f"1aff4d000215{UUID}00010102c5",  # another company
        f"1aff1801beac{ID20}c5",  # AltBeacon without its last byte
        "1aff4c000215655f83caae16a10a702e31f30d58dd82f644000064",  # BM2, battery level in place of power
        "1aff4c000215494e54454c4c495f524f434b535f48575075f2ffc2",  # Govee thermometer
        "1aff4c000215a495bb10c5b14b44b5121370f02d74de0044041ac5",  # Tilt hydrometer
        "1416aafe00ee8b0ca750095477cb3e770011223344",  # Eddystone UID without its last byte
        "0416aafe",
        "0316aafe",
        "02010600",
    ],
)
def test_what_only_looks_alike_is_no_beacon(payload: str) -> None:
    assert parse(bytes.fromhex(payload)) is None
    found = parse(bytes.fromhex(payload), "AA:BB:CC:00:11:22")
    assert found == Advertisement("other", None, None, MAC)


def test_both_ways_in_agree() -> None:
    body = bytes.fromhex(f"0215{UUID}00010102c5")
    assert from_fields({0x004C: body}, {}, "AA:BB:CC:00:11:22") == Advertisement("ibeacon", IBEACON, -59.0, MAC)
    uid = bytes.fromhex("00ee8b0ca750095477cb3e77001122334455")
    found = from_fields({0x0118: b"x"}, {"0000180f-0000-1000-8000-00805f9b34fb": b"d", EDDYSTONE: uid})
    assert found is not None
    assert found.beacon == "eddystone:8b0ca750095477cb3e77:001122334455"
    assert from_fields({}, {}) is None


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("AA:BB:CC:00:11:22", MAC),
        ("aa-bb-cc-00-11-22", MAC),
        ("749A17CB-F7A9-D466-C29F-AABE601938A0", None),  # macOS gives ids of its own
        ("", None),
    ],
)
def test_addresses(address: str, found: str | None) -> None:
    assert mac_id(address) == found


@given(st.binary(max_size=300), st.none() | st.text(max_size=20))
def test_any_bytes_at_all(payload: bytes, address: str | None) -> None:
    found = parse(payload, address)
    assert found is None or found.power is None or -110 <= found.power <= -20


@given(
    st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=40), max_size=3),
    st.dictionaries(st.sampled_from([EDDYSTONE, "x"]), st.binary(max_size=40), max_size=2),
)
def test_any_fields_at_all(manufacturer: dict[int, bytes], service: dict[str, bytes]) -> None:
    found = from_fields(manufacturer, service)
    assert found is None or found.beacon is None or ":" in found.beacon


@given(st.binary(min_size=23, max_size=23), st.binary(max_size=8).filter(lambda b: not b or b[0] != 0))
def test_an_ibeacon_is_found_among_other_structures(tail: bytes, name: bytes) -> None:
    body = b"\x02\x15" + tail[2:]
    before = bytes([len(name) + 1, 0x09]) + name
    assert parse(before + b"\x1a\xff\x4c\x00" + body) == from_fields({0x004C: body}, {})
