"""`proximity-gateway check`: is everything there that this gateway needs? One line for each thing."""

import asyncio
import sys
import threading
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway.clock import synchronised
from gateway.settings import BrokerAddress, GatewaySettings
from gateway.spool import Spool, SpoolError

CONNECT_WITHIN = 5.0  # s; a broker in the shop answers in milliseconds


class Finding(NamedTuple):
    """One thing that was looked at. `good` None: not as it should be, but it can run."""

    what: str
    good: bool | None
    say: str


def check(settings: GatewaySettings) -> list[Finding]:
    """Look at broker, spool, radio and clock."""
    found = [_broker(settings.address()), _spool(settings)]
    if settings.source == "ble":
        found += [_radio(settings), _clock(settings)]
    elif settings.source == "replay":
        found.append(_recording(settings))
    return found


def _broker(address: BrokerAddress) -> Finding:
    where = f"{address.host}:{address.port}"
    answered = threading.Event()
    answer: list[str] = []

    def connected(_client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            answer.append(str(reason))
        answered.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = connected
    try:
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set(None if address.ca_file is None else str(address.ca_file))
        client.connect(address.host, address.port)
    except OSError as error:
        return Finding("broker", False, f"{where} does not answer: {error}")
    client.loop_start()
    came = answered.wait(CONNECT_WITHIN)
    client.disconnect()
    client.loop_stop()
    if answer or not came:
        return Finding("broker", False, f"{where} refuses: {answer[0] if answer else 'no answer to CONNECT'}")
    return Finding("broker", True, f"{where} answers")


def _spool(settings: GatewaySettings) -> Finding:
    directory = settings.spool_directory()
    if directory is None:
        return Finding("spool", True, "in memory")
    try:
        spool = Spool(directory)
    except SpoolError as error:
        return Finding("spool", False, str(error))
    waiting = spool.pending
    spool.close()
    return Finding("spool", True, f"{directory}, {waiting} messages wait")


def _radio(settings: GatewaySettings) -> Finding:
    if sys.platform != "linux":
        return Finding("radio", True, "left to the operating system")
    from gateway import bluez
    from gateway.remedies import TABLE, cause_of

    try:
        adapter = asyncio.run(bluez.find_adapter(settings.adapter))
    except Exception as error:  # looked up in the table of what goes wrong
        return Finding("radio", False, TABLE[cause_of(error)].say)
    if adapter is None:
        return Finding("radio", False, TABLE["no-adapter"].say)
    problem = bluez.power_problem(adapter)
    if problem is None:
        return Finding("radio", True, f"{adapter.name} ({adapter.address})")
    can_help = problem == "powered-off" and settings.power_on
    return Finding("radio", None if can_help else False, f"{adapter.name}: {TABLE[problem].say}")


def _clock(settings: GatewaySettings) -> Finding:
    if settings.trust_clock or synchronised():
        return Finding("clock", True, "synchronised" if not settings.trust_clock else "trusted")
    return Finding("clock", None, "not synchronised; sightings carry ages until it is (see `timedatectl`)")


def _recording(settings: GatewaySettings) -> Finding:
    from proximity import recordings

    assert settings.file is not None
    try:
        kind = recordings.kind(settings.file)
    except recordings.RecordingError as error:
        return Finding("recording", False, str(error))
    return Finding("recording", True, f"{settings.file}, {kind}")
