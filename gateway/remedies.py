"""What goes wrong with a radio on Linux, what it means, and what is done about it: one table."""

from enum import Enum
from typing import Literal, NamedTuple

from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError

State = Literal["ready", "quiet", "powered-off", "blocked", "failed", "none"]


class Remedy(Enum):
    """What the scanner does next."""

    WAIT = "look again in a while: somebody else has to act"
    POWER_ON = "switch the adapter on"
    RESTART = "stop the scan and start it again"
    POWER_CYCLE = "switch the adapter off and on"
    ACTIVE = "scan actively instead of passively, for good"


class Finding(NamedTuple):
    """A diagnosis: the state to report, what to do, and what to say."""

    state: State
    remedy: Remedy
    say: str


_W, _ON, _AGAIN, _CYCLE, _ACTIVE = Remedy.WAIT, Remedy.POWER_ON, Remedy.RESTART, Remedy.POWER_CYCLE, Remedy.ACTIVE

# fmt: off
TABLE: dict[str, Finding] = {
    "rfkill":        Finding("blocked",     _W,      "Bluetooth is blocked; run `rfkill unblock bluetooth`"),
    "powered-off":   Finding("powered-off", _ON,     "the adapter is switched off"),
    "no-adapter":    Finding("failed",      _W,      "there is no such Bluetooth adapter; is it plugged in?"),
    "no-bus":        Finding("failed",      _W,      "the system's D-Bus does not answer; is dbus running?"),
    "no-bluetoothd": Finding("failed",      _W,      "BlueZ is not running; run `systemctl start bluetooth`"),
    "denied":        Finding("failed",      _W,      "no permission; add the user to the group `bluetooth`"),
    "no-passive":    Finding("ready",       _ACTIVE, "passive scanning needs BlueZ 5.56 with --experimental"),
    "in-progress":   Finding("failed",      _AGAIN,  "an earlier scan has not ended yet"),
    "timeout":       Finding("failed",      _CYCLE,  "the adapter does not answer in time"),
    "failed":        Finding("failed",      _CYCLE,  "the adapter reports a fault"),
    "unknown":       Finding("failed",      _AGAIN,  "something new went wrong"),
}

_NAMES = {
    "org.bluez.Error.NotReady":                        "powered-off",
    "org.bluez.Error.InProgress":                      "in-progress",
    "org.bluez.Error.Failed":                          "failed",
    "org.bluez.Error.NotPermitted":                    "denied",
    "org.bluez.Error.NotAuthorized":                   "denied",
    "org.bluez.Error.NotSupported":                    "no-passive",
    "org.freedesktop.DBus.Error.AccessDenied":         "denied",
    "org.freedesktop.DBus.Error.ServiceUnknown":       "no-bluetoothd",
    "org.freedesktop.DBus.Error.NameHasNoOwner":       "no-bluetoothd",
    "org.freedesktop.DBus.Error.Spawn.ExecFailed":     "no-bluetoothd",
    "org.freedesktop.DBus.Error.UnknownObject":        "no-adapter",
    "org.freedesktop.DBus.Error.UnknownMethod":        "no-adapter",  # of a path that is no object any more
    "org.freedesktop.DBus.Error.NoReply":              "timeout",
    "org.freedesktop.DBus.Error.Timeout":              "timeout",
}
# fmt: on

_REASONS = {
    "NO_BLUETOOTH": "no-adapter",
    "NO_BLE_CENTRAL_ROLE": "no-adapter",
    "POWERED_OFF": "powered-off",
    "DENIED_BY_USER": "denied",
    "DENIED_BY_SYSTEM": "denied",
    "DENIED_BY_UNKNOWN": "denied",
}


def cause_of(error: BaseException, *, passive: bool = False) -> str:
    """The key of TABLE for an error of bleak, dbus-fast or the operating system."""
    if isinstance(error, BleakDBusError):
        cause = _NAMES.get(error.dbus_error, "unknown")
        return "failed" if cause == "no-passive" and not passive else cause
    if isinstance(error, BleakBluetoothNotAvailableError):
        return _REASONS.get(error.reason.name, "unknown")
    if isinstance(error, BleakError):
        text = str(error)
        if passive and "passive" in text:
            return "no-passive"
        return "no-adapter" if "not found" in text else "unknown"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError | EOFError):
        return "no-bus"
    return "unknown"
