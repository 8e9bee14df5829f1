"""Coupon codes: 80 bits that nobody guesses, in letters that nobody mistakes, with one more that catches slips.

A code is derived from a secret key and the decision that caused it, so a decision that is repeated after a crash has
the same code, and nobody without the key can make one. The letters are Crockford's base32: no I, L, O or U.
"""

import hashlib
import hmac

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LETTERS = 16  # of 5 bits each, and one that checks
GROUP = 4  # letters between hyphens
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def _powers() -> list[int]:
    """The powers of x in the field of 32 elements, modulo x^5 + x^2 + 1: all 31 that are not zero, each once."""
    found = [1]
    while len(found) < 31:
        doubled = found[-1] << 1
        found.append(doubled ^ 0b100101 if doubled & 32 else doubled)
    return found


_POWERS = _powers()
_LOG = {value: power for power, value in enumerate(_POWERS)}


def check_letter(letters: str) -> str:
    """The letter that makes the sum of the letters, each times another power of x, zero.

    Each place has its own factor, so any one wrong letter and any two that changed places are noticed, as in a
    Reed-Solomon code with one check symbol. (Reed, Solomon: Polynomial Codes over Certain Finite Fields, 1960.)
    """
    total = 0
    for place, letter in enumerate(letters, start=1):
        value = _VALUE[letter]
        if value:
            total ^= _POWERS[(_LOG[value] + place) % 31]
    return ALPHABET[total]


def code(key: bytes, decision: str) -> str:
    """The code of a decision's coupon: 17 letters, without hyphens."""
    number = int.from_bytes(hmac.digest(key, b"coupon\0" + decision.encode(), hashlib.sha256)[:10], "big")
    letters = "".join([ALPHABET[number >> shift & 31] for shift in range(5 * (LETTERS - 1), -1, -5)])
    return letters + check_letter(letters)


def shown(plain: str) -> str:
    """A code as it is read out: `K7QF-3MXA-90TB-W2CDR`."""
    groups = [plain[start : start + GROUP] for start in range(0, LETTERS - GROUP, GROUP)]
    return "-".join([*groups, plain[LETTERS - GROUP :]])


def read(typed: str) -> str | None:
    """The code that somebody typed or scanned, or None when it cannot be one: hyphens, spaces and case do not matter,
    and O is read as 0, I and L as 1."""
    plain = typed.strip().upper().translate(_READ_AS)
    if len(plain) != LETTERS + 1 or not set(plain) <= _VALUE.keys():
        return None
    return plain if check_letter(plain[:LETTERS]) == plain[LETTERS] else None
