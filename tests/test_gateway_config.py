"""Which ids gateways may report."""

from proximity.ingest.gateway_config import MOST_EXACT, Wanted
from proximity.model import Device

UUID = "7c0b0b52-3f0e-4a54-9b5f-2f1c6a7d8e90"


def beacon(minor: int) -> Device:
    return Device(f"ibeacon:{UUID}:1:{minor}", "ada", "ibeacon")


def test_few_devices_are_listed_one_by_one() -> None:
    config = Wanted([beacon(2), beacon(1), Device("owntracks:ada/phone", "ada", "owntracks")]).config()
    assert config.keep == [f"ibeacon:{UUID}:1:1", f"ibeacon:{UUID}:1:2"]


def test_many_are_named_by_what_they_share() -> None:
    config = Wanted([beacon(minor) for minor in range(MOST_EXACT + 1)]).config()
    assert config.keep == [f"ibeacon:{UUID}:"]


def test_ids_that_change_on_air_are_kept_by_kind() -> None:
    irk = Device("irk:" + "0" * 32, "ada", "irk", secret="0" * 32)
    tag = Device("mac:02:00:00:00:00:01", "ben", "mac")
    assert Wanted([irk, tag, Device("eid:0", "cy", "eid")]).config().keep == ["eid:", "mac:"]


def test_nobody_means_nothing_is_reported() -> None:
    assert Wanted([]).config().keep == []


def test_the_version_follows_the_content() -> None:
    one, again, other = (Wanted([beacon(number)]).config() for number in (1, 1, 2))
    assert one.version == again.version != other.version
