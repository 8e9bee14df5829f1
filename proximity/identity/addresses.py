"""Resolvable private addresses: which identity key (IRK) made this Bluetooth address.

Bluetooth Core 5.4, Vol 6, Part B, 1.3.2: an address holds 24 random bits `prand`, whose top two are 01, and their
hash `ah(irk, prand)` = the last 24 bits of AES-128(irk, 0…0 ‖ prand) (Vol 3, Part H, 2.2.2).
"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

CACHE = 65_536  # addresses a generation; a phone shows about four an hour, so this is a day of 700 phones, at 15 MB


def ah(irk: bytes, prand: bytes) -> bytes:
    """The 3-byte hash of a 3-byte `prand` under a 16-byte key, most significant byte first."""
    return encryptor(irk).update(bytes(13) + prand)[13:]


def is_resolvable(address: bytes) -> bool:
    """Whether a 6-byte address has the top bits of a resolvable private one."""
    return address[0] >> 6 == 0b01


class AddressResolver:
    """Addresses to the index of the key that made them.

    Every key is tried in both byte orders, because tools disagree on it. A stranger's address matches by chance once
    in 2**24 / (2 × keys) addresses. Answers, also the noes, are kept for the addresses of two bounded generations.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._tries = [(i, encryptor(k)) for i, key in enumerate(keys) for k in dict.fromkeys((key, key[::-1]))]
        self._young: dict[str, int | None] = {}
        self._old: dict[str, int | None] = {}

    def resolve(self, address: str) -> int | None:
        """The index of the key for `aa:bb:cc:dd:ee:ff`, or None."""
        if not self._tries:
            return None
        for cache in (self._young, self._old):
            if address in cache:
                found = cache[address]
                break
        else:
            found = self._search(bytes.fromhex(address.replace(":", "")))
        if address not in self._young:
            if len(self._young) >= CACHE:
                self._old, self._young = self._young, {}
            self._young[address] = found
        return found

    def _search(self, address: bytes) -> int | None:
        if not is_resolvable(address):
            return None
        block, wanted = bytes(13) + address[:3], address[3:]
        for index, cipher in self._tries:
            if cipher.update(block)[13:] == wanted:
                return index
        return None


def encryptor(key: bytes) -> CipherContext:
    """An endless AES-128 encryptor of single blocks; ECB is the bare block cipher that the standards ask for."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - single blocks
