"""Settings and secrets."""

from pathlib import Path

import pytest

from proximity.data_folder import data_folder
from proximity.errors import ProximityError
from proximity.settings import read_settings


def test_the_environment_is_read_and_an_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXIMITY_HTTP_PORT", "9000")
    monkeypatch.setenv("PROXIMITY_MQTT_PORT", "1900")
    settings = read_settings(http_port=9001, mqtt_port=None)
    assert (settings.http_port, settings.mqtt_port) == (9001, 1900)


def test_every_bad_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXIMITY_HTTP_PORT", "eighty")
    monkeypatch.setenv("PROXIMITY_REORDER", "-1")
    with pytest.raises(ProximityError) as refused:
        read_settings()
    said = str(refused.value)
    assert "http_port (PROXIMITY_HTTP_PORT): " in said
    assert "'eighty'" in said
    assert "reorder (PROXIMITY_REORDER): " in said


def test_the_operators_token_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    settings = read_settings(data=tmp_path / "data")
    token = settings.token()
    assert len(token) >= 32
    assert settings.token() == token
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "operator.token").stat().st_mode & 0o777 == 0o600


def test_a_webhook_needs_an_address() -> None:
    with pytest.raises(ProximityError, match="write an address such as https://"):
        read_settings(webhook_url="notaurl")


def test_a_data_folder_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "data"
    taken = pytest.raises(ProximityError, match="another Proximity uses the data folder")
    with data_folder(path), taken, data_folder(path):
        pass
    with data_folder(path) as again:
        assert (again / "lock").stat().st_mode & 0o777 == 0o600


def test_a_data_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProximityError) as refused, data_folder(tmp_path / "file"):
        pass
    assert str(refused.value).endswith("cannot be used: File exists; choose another with --data")


def test_a_webhooks_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret\n")
    key.chmod(0o644)
    settings = read_settings(data=tmp_path, webhook_url="http://127.0.0.1:1/", webhook_secret_file=key)
    with pytest.raises(ProximityError, match=f"chmod 600 {key}"):
        settings.webhook_secret()
    key.chmod(0o600)
    assert settings.webhook_secret() == b"secret"
    assert read_settings(data=tmp_path).webhook_secret() is None
