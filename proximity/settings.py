"""Every setting of the service, once, with its type, its default and why.

Each can be given as an environment variable `PROXIMITY_<NAME>` (upper case); command-line options win over those.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import pydantic
from pydantic_settings import BaseSettings, SettingsConfigDict

from proximity.errors import ProximityError


class Settings(BaseSettings):
    """What one service needs to know. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="PROXIMITY_", extra="forbid")

    config: Path = Path("config")  # the folder with site.yaml, zones.geojson, rules/ …
    data: Path = Path("data")  # database, embedded broker, tokens; made with mode 0700
    database: str | None = None  # SQLAlchemy URL; None: SQLite in `data`
    broker: str | None = None  # mqtt://[user:password@]host[:port], or nats://…; None: the embedded one
    mqtt_host: str = "127.0.0.1"  # where the embedded broker listens; beyond loopback only on purpose
    mqtt_port: int = pydantic.Field(1883, ge=0, le=65535)  # 0: any free port; with nats://, that of its MQTT listener
    http_host: str = "127.0.0.1"
    http_port: int = pydantic.Field(8080, ge=0, le=65535)  # 0: any free port
    reorder: float = pydantic.Field(
        0.1, ge=0, le=30
    )  # how long an observation is waited for: the jitter of a local network
    webhook_url: str | None = None  # where offers are posted for rules that deliver by `webhook`
    webhook_secret_file: Path | None = None  # the key of the webhook's HMAC, mode 0600
    operator_token: str | None = None  # None: made at the first start, kept in `data`/operator.token
    till_token: str | None = None  # for tills, which only redeem; None: made at the first start, `data`/till.token
    keep_history: float = pydantic.Field(90 * 86400.0, gt=0)  # visits, transitions and decisions are purged after this
    # What was observed of devices is kept this long, so that presence can be explained; 0: not at all
    keep_observations: float = pydantic.Field(86400.0, ge=0)
    log_json: bool = False

    @pydantic.field_validator("webhook_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if value is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("write an address such as https://shop.example/offers")
        return value

    @property
    def database_url(self) -> str:
        """The database to open."""
        return self.database or f"sqlite:///{self.data / 'proximity.db'}"

    def token(self) -> str:
        """The operator's token, made and stored with mode 0600 when there is none yet."""
        return self.operator_token or _kept_secret(self.data / "operator.token")

    def till(self) -> str:
        """The tills' token, made and stored with mode 0600 when there is none yet."""
        return self.till_token or _kept_secret(self.data / "till.token")

    def webhook_secret(self) -> bytes | None:
        """The webhook's key; None without a webhook. ProximityError when the file cannot be used."""
        if self.webhook_url is None:
            return None
        if self.webhook_secret_file is None:
            return _kept_secret(self.data / "webhook.secret").encode()
        path = self.webhook_secret_file
        try:
            if path.stat().st_mode & 0o077:
                raise ProximityError(f"{path} can be read by others; run: chmod 600 {path}")
            return path.read_text(encoding="utf-8").strip().encode()
        except OSError as error:
            raise ProximityError(f"webhook_secret_file {path}: {error.strerror}") from error


def read_settings(**given: object) -> Settings:
    """Settings from the environment and from options that are not None. ProximityError naming every bad one."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except pydantic.ValidationError as error:
        lines = []
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0]) if detail["loc"] else "settings"
            lines.append(f"  {name} (PROXIMITY_{name.upper()}): {detail['msg'].lower()}, not {detail['input']!r}")
        raise ProximityError("settings that cannot be used:\n" + "\n".join(lines)) from error


def _kept_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        value = secrets.token_urlsafe(24)
        file.write(value + "\n")
    return value
