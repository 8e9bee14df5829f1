"""What must hold after any fault."""

from proximity.store import gateways, history
from tests.test_service import House


def alternate(house: House) -> None:
    """Enter and exit follow one another."""
    inside: set[tuple[str, str]] = set()
    for one in reversed(history.transitions(house.store, limit=100_000)):
        if one.kind == "enter":
            assert (one.shopper, one.zone) not in inside
            inside.add((one.shopper, one.zone))
        elif one.kind == "exit":
            inside.remove((one.shopper, one.zone))


def covered(house: House) -> list[tuple[int, int, tuple[int, ...]]]:
    """Of each boot: up to where, how many messages, and numbers beyond a gap."""
    return [(one.seq, one.messages, one.ahead) for one in gateways.offsets(house.store)]
