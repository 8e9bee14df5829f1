"""What systemd is told, over its own datagram socket: ready, alive, stopping. Does nothing without systemd."""

import contextlib
import os
import socket


def notify(state: str) -> bool:
    """Send one line of sd_notify(3), such as `READY=1`. False: nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path  # an @ stands for the abstract namespace
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.sendall(state.encode())
        return True
    return False


def watchdog_interval() -> float | None:
    """Seconds between two `WATCHDOG=1`, a third of what the unit allows; None: the unit sets no watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        allowed = int(os.environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return allowed / 3_000_000 if allowed > 0 else None
