"""Identity: spellings, private addresses, ephemeral ids. Check values are the ones the formats' documents publish."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.errors import BadMessage
from proximity.identity import addresses
from proximity.identity.addresses import AddressResolver, ah, is_resolvable
from proximity.identity.directory import Directory
from proximity.identity.ephemeral import EidKey, EphemeralResolver, ephemeral_id
from proximity.model import Device
from proximity.site.ids import eid_secret, ibeacon_id, parse_device_id, read_eid_secret, read_key

UUID = "f7826da6-4fa2-4e98-8024-bc5b71e0893e"
IRK = "ec0234a357c8ad05341010a60a397d9b"
RPA = "mac:70:81:94:0d:fb:aa"
EID_KEY = bytes.fromhex("0102030405060708090A111213141516")


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (f"ibeacon:{UUID}:1:7", f"ibeacon:{UUID}:1:7"),
        (f"iBeacon:{UUID.upper()}-1-7", f"ibeacon:{UUID}:1:7"),
        (f"ibeacon:{UUID.replace('-', '')}:00001:7", f"ibeacon:{UUID}:1:7"),
        (f"{UUID.replace('-', '')}-1-7", f"ibeacon:{UUID}:1:7"),
        (f"  ibeacon:{UUID}_1_7\n", f"ibeacon:{UUID}:1:7"),
        (f"altBeacon:{UUID}-1-7", f"altbeacon:{UUID.replace('-', '')}00010007"),
        (f"altbeacon:{'AB' * 20}", f"altbeacon:{'ab' * 20}"),
        ("eddystone:EDD1EBEAC04E5DEFA017:0BDB87539B67", "eddystone:edd1ebeac04e5defa017:0bdb87539b67"),
        ("eddy:edd1ebeac04e5defa017-0bdb87539b67", "eddystone:edd1ebeac04e5defa017:0bdb87539b67"),
        ("eddy:edd1ebeac0c04e5defa017-0bdb87539b67", "eddystone:edd1ebeac04e5defa017:0bdb87539b67"),
        ("eddystone:edd1ebeac04e5defa0170bdb87539b67", "eddystone:edd1ebeac04e5defa017:0bdb87539b67"),
        ("eid:A9B76A71C5F89290", "eid:a9b76a71c5f89290"),
        ("AA:BB:CC:DD:EE:FF", "mac:aa:bb:cc:dd:ee:ff"),
        ("aabbccddeeff", "mac:aa:bb:cc:dd:ee:ff"),
        ("mac:AA-BB-CC-DD-EE-FF", "mac:aa:bb:cc:dd:ee:ff"),
        ("known:aabbccddeeff", "mac:aa:bb:cc:dd:ee:ff"),
        (f"irk:{IRK.upper()}", f"irk:{IRK}"),
        ("OwnTracks:Ada/Phone", "owntracks:ada/phone"),
        ("owntracks:/ada/phone/", "owntracks:ada/phone"),
        ("traccar:123456", "traccar:123456"),
        ("app:ada", "app:ada"),
    ],
)
def test_spelling(written: str, canonical: str) -> None:
    assert parse_device_id(written) == canonical


@pytest.mark.parametrize(
    "written",
    [
        "",
        "coffee",
        "ibeacon:",
        f"ibeacon:{UUID}",
        f"ibeacon:{UUID}:1:65536",
        f"ibeacon:{UUID}:-1:7",
        f"ibeacon:{UUID[:-1]}:1:7",
        f"altbeacon:{UUID}-70000-7",
        "altbeacon:abcd",
        "eddy:edd1ebeac04e5defa01717-0bdb87539b67",  # 22 digits, but not the doubled byte
        "eid:a9b76a71c5f8929",
        "mac:aa:bb-cc:dd:ee:ff",
        "mac:gg:bb:cc:dd:ee:ff",
        "owntracks:ada",
        "owntracks:ada/phone/event",
        "owntracks:+/phone",
        "traccar:  ",
        "traccar:a\x00b",
        "app:\ud800",
        "traccar:" + "1" * 160,
    ],
)
def test_no_spelling(written: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_device_id(written)
    assert caught.value.reason == "device"


@given(
    st.text(max_size=200)
    | st.sampled_from(["ibeacon:", "mac:", "traccar:", "owntracks:a/"]).flatmap(
        lambda kind: st.text(max_size=60).map(lambda rest: kind + rest)
    )
)
def test_any_text_is_an_id_or_bad(text: str) -> None:
    try:
        found = parse_device_id(text)
    except BadMessage:
        return
    assert parse_device_id(found) == found
    assert len(found) <= 160


def test_ibeacon_id() -> None:
    assert ibeacon_id(UUID.upper(), 1, 7) == f"ibeacon:{UUID}:1:7"
    with pytest.raises(BadMessage):
        ibeacon_id(UUID, 1, 70000)


@pytest.mark.parametrize(
    "written",
    [
        IRK,
        IRK.upper(),
        f"irk:{IRK}",
        f"IRK:{IRK}",
        base64.b64encode(bytes.fromhex(IRK)).decode(),
        base64.b64encode(bytes.fromhex(IRK)).decode().rstrip("="),
        base64.urlsafe_b64encode(bytes.fromhex(IRK)).decode(),
        ":".join(IRK[i : i + 2] for i in range(0, 32, 2)),
    ],
)
def test_key_spellings(written: str) -> None:
    assert read_key(written).hex() == IRK


@pytest.mark.parametrize("written", ["", "irk:", "ec02", "not a key", "=" * 24, "é" * 24])
def test_no_key(written: str) -> None:
    with pytest.raises(BadMessage) as caught:
        read_key(written)
    assert caught.value.reason == "key"


def test_hash_of_the_bluetooth_core_specification() -> None:
    assert ah(bytes.fromhex(IRK), bytes.fromhex("708194")).hex() == "0dfbaa"


@pytest.mark.parametrize(
    ("first", "resolvable"), [(0x3F, False), (0x40, True), (0x7F, True), (0x80, False), (0xC0, False)]
)
def test_only_top_bits_01_are_resolvable(first: int, resolvable: bool) -> None:
    assert is_resolvable(bytes([first, 0, 0, 0, 0, 0])) is resolvable


@pytest.mark.parametrize(
    "secret",
    [IRK, f"irk:{IRK}", bytes.fromhex(IRK)[::-1].hex(), base64.b64encode(bytes.fromhex(IRK)[::-1]).decode()],
)
def test_private_address_by_key_in_either_byte_order(secret: str) -> None:
    phone = Device(id="irk:" + read_key(secret).hex(), shopper="ada", kind="irk", secret=secret)
    directory = Directory([phone])
    assert directory.resolve(RPA, 0.0) is phone
    assert directory.resolve("70:81:94:0D:FB:AA", 0.0) is phone
    assert directory.resolve(f"irk:{IRK}", 0.0) is phone
    assert directory.resolve("mac:70:81:94:0d:fb:ab", 0.0) is None
    assert directory.resolve("mac:f0:81:94:0d:fb:aa", 0.0) is None


def test_several_live_addresses_of_one_phone() -> None:
    phone = Device(id=f"irk:{IRK}", shopper="ada", kind="irk")  # the key stands in the id
    directory = Directory([phone])
    for prand in (b"\x41\x00\x01", b"\x41\x00\x02", b"\x70\x81\x94"):
        address = (prand + ah(bytes.fromhex(IRK), prand)).hex(":")
        assert directory.resolve(f"mac:{address}", 0.0) is phone


def test_address_cache_is_bounded_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "CACHE", 8)
    resolver = AddressResolver([bytes.fromhex(IRK)])
    for round_ in range(2):
        for i in range(40):
            assert resolver.resolve(f"40:00:00:00:00:{i:02x}") is None, round_
        assert resolver.resolve("70:81:94:0d:fb:aa") == 0
    assert len(resolver._young) <= 8
    assert len(resolver._old) <= 8


@pytest.mark.parametrize(("clock", "eid"), [(0, "A9B76A71C5F89290"), (2000, "4144413E45FEFA58")])
def test_eid_check_values(clock: int, eid: str) -> None:
    assert ephemeral_id(EID_KEY, 10, clock) == eid.lower()


def test_eid_stands_still_for_two_to_the_k_seconds() -> None:
    assert ephemeral_id(EID_KEY, 10, 1024) == ephemeral_id(EID_KEY, 10, 2047)
    assert ephemeral_id(EID_KEY, 10, 2047) != ephemeral_id(EID_KEY, 10, 2048)


def test_ephemeral_device_by_time() -> None:
    started = 1_764_000_000.0
    tag = Device(id="eid:0011223344556677", shopper="ben", kind="eid", secret=eid_secret(EID_KEY, 10, started))
    directory = Directory([tag])
    seen = "eid:4144413E45FEFA58"
    assert directory.resolve(seen, started + 2000) is tag
    assert directory.resolve(seen, started + 2000 + 250) is tag  # a little late
    assert directory.resolve(seen, started + 2000 + 4000) is None  # an old id, played back
    assert directory.resolve(seen, started - 10_000) is None  # before the beacon lived
    assert directory.resolve("eid:0011223344556677", started) is tag


@given(st.integers(0, 15), st.integers(0, 2**32 - 1), st.floats(-200, 200))
def test_every_id_a_beacon_shows_is_found(exponent: int, clock: int, drift: float) -> None:
    started = 1_000_000.0
    resolver = EphemeralResolver([EidKey(bytes(16), 3, 0.0), EidKey(EID_KEY, exponent, started)])
    shown = ephemeral_id(EID_KEY, exponent, clock)
    assert resolver.resolve(shown, started + clock + drift) == 1


def test_eid_tables_are_bounded() -> None:
    resolver = EphemeralResolver([EidKey(EID_KEY, 10, 0.0)])
    for i in range(20):
        resolver.resolve("0" * 16, i * 1000.0)
    assert len(resolver._tables) == 4


def test_eid_secret_round_trip() -> None:
    assert read_eid_secret(eid_secret(EID_KEY, 10, 1_764_000_000.0)) == (EID_KEY, 10, 1_764_000_000.0)
    for bad in ("", "00/1/2", f"{EID_KEY.hex()}/16/0", f"{EID_KEY.hex()}/1"):
        with pytest.raises(BadMessage):
            read_eid_secret(bad)


def test_directory_answers_in_order_and_strangers_are_none() -> None:
    ada = Device(id=f"ibeacon:{UUID}:1:7", shopper="ada", kind="ibeacon")
    ben = Device(id="owntracks:ben/phone", shopper="ben", kind="owntracks")
    directory = Directory([ada, ben])
    asked = [f"iBeacon:{UUID.upper()}-1-7", "owntracks:Ben/phone", f"ibeacon:{UUID}:1:8", "garbage", ""]
    assert directory.resolve_many(asked, 0.0) == [ada, ben, None, None, None]


def test_first_of_two_devices_with_one_id_keeps_it() -> None:
    first = Device(id=f"ibeacon:{UUID}:1:7", shopper="ada", kind="ibeacon")
    second = Device(id=f"ibeacon:{UUID.upper()}:1:7", shopper="ben", kind="ibeacon")
    assert Directory([first, second]).resolve(f"ibeacon:{UUID}:1:7", 0.0) is first


def test_a_device_with_an_unreadable_secret_harms_nobody() -> None:
    broken = Device(id="irk:nonsense", shopper="ada", kind="irk", secret="nonsense")
    torn = Device(id="eid:0011223344556677", shopper="ben", kind="eid", secret="torn")
    directory = Directory([broken, torn])
    assert directory.resolve(RPA, 0.0) is None
    assert directory.resolve("eid:0011223344556677", 0.0) is torn
    assert directory.resolve("eid:a9b76a71c5f89290", 0.0) is None
