"""Settings from three places, and every mistake with what to write instead."""

import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import BrokerAddress, GatewaySettings, SettingsError, load

NAMED = {"site": "shop", "gateway": "g1"}


def test_the_nearest_word_wins(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('site = "file"\ngateway = "g1"\nspool_mb = 8\nkeep = ["ibeacon:", "mac:AA"]\ntrust_clock = true\n')
    environment = {"PROXIMITY_GATEWAY_SITE": "env", "PROXIMITY_GATEWAY_QUIET_AFTER": "120", "HOME": "/root"}
    found = load({"gateway": "g2", "site": None}, environment, file, state=tmp_path)
    assert found == GatewaySettings(
        "env", "g2", spool_mb=8, keep=("ibeacon:", "mac:aa"), trust_clock=True, quiet_after=120.0, spool=tmp_path
    )  # fmt: skip
    assert found.spool_directory() == tmp_path / "env" / "g2"


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, BrokerAddress("127.0.0.1", 1883)),
        ({"broker": "mqtt://broker.shop"}, BrokerAddress("broker.shop", 1883)),
        ({"broker": "mqtts://broker.shop"}, BrokerAddress("broker.shop", 8883, True)),
        ({"broker": "mqtt://[::1]:1884"}, BrokerAddress("::1", 1884)),
    ],
)
def test_addresses(options: dict[str, Any], address: BrokerAddress) -> None:
    assert load({**NAMED, **options}, {}).address() == address


def test_a_password_stays_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(stat.S_IRUSR)
    settings = load({**NAMED, "username": "gate", "password_file": str(file)}, {})
    assert settings.address().password == "secret"
    assert "secret" not in repr(settings) + repr(settings.address())


def test_a_recording_names_its_gateways() -> None:
    found = load({"site": "shop", "source": "replay", "file": "x.mbd", "speed": "20"}, {})
    assert (found.speed, found.keep, found.spool) == (20.0, ("",), None)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"site": "Shop"}, "--site: 'Shop' is no slug: lower-case letters, digits and hyphens, 64 at most, "
                           "a letter or digit at both ends"),
        ({"broker": "localhost:1883"}, "--broker: 'localhost:1883' is no broker address; write mqtt://host:1883, "
                                       "or mqtts://host:8883 for TLS"),
        ({"broker": "mqtt://a:b@c"}, "--broker: name and password do not belong in the address; "
                                     "use username and password_file"),
        ({"speed": "2"}, "speed: a radio has only its own speed; leave it out, or use --source replay or simulated"),
        ({"spool_mb": "1.5"}, "--spool-mb: '1.5' is no whole number from 1 to 100000"),
        ({"sample_every": True}, "--sample-every: True is no number from 0.2 to 60"),
        ({"quiet_after": "nan"}, "--quiet-after: 'nan' is no number from 1 to 86400"),
        ({"source": "wifi"}, "--source: 'wifi' is none of ble, replay, simulated"),
        ({"source": "replay"}, "file: missing; --source replay needs the recording to replay"),
        ({"power_on": "maybe"}, "--power-on: 'maybe' is neither true nor false"),
        ({"keep": 5}, "--keep: 5 is no list of prefixes such as ibeacon:, mac:"),
        ({"password_file": "/nowhere"}, "password_file: a password needs a username"),
    ],
)  # fmt: skip
def test_mistakes(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({**NAMED, **options}, {})
    assert caught.value.problems == [problem]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("gatway = 'g1'\nspool_mb = 0\n")
    with pytest.raises(SettingsError) as caught:
        load({}, {"PROXIMITY_GATEWAY_SPED": "3"}, file)
    assert caught.value.problems == [
        f"{file}: gatway: there is no such setting; did you mean gateway?",
        f"{file}: spool_mb: 0 is no whole number from 1 to 100000",
        "PROXIMITY_GATEWAY_SPED: there is no such setting; did you mean speed?",
        "site: missing; say which shop this gateway stands in (--site)",
        "gateway: missing; give this gateway a name within the shop (--gateway)",
    ]


@pytest.mark.parametrize(("content", "problem"), [("site = ", "not TOML"), (None, "cannot be read")])
def test_files_that_are_none(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "gateway.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=problem):
        load(NAMED, {}, file)
