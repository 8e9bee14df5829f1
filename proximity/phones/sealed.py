"""OwnTracks' encrypted payloads: libsodium's secretbox (XSalsa20-Poly1305) with a shared secret.

`data` is base64 of a 24-byte nonce and the box; the key is the UTF-8 secret, cut or zero-padded to 32 bytes.
"""

import base64
import binascii
import json
from typing import Any

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from proximity.errors import BadMessage

NONCE = SecretBox.NONCE_SIZE


def seal(plain: bytes, secret: str, nonce: bytes) -> bytes:
    """The JSON message `{"_type": "encrypted", …}`. `nonce`: 24 random bytes that were never used before."""
    sealed = bytes(_box(secret).encrypt(plain, nonce))
    return json.dumps({"_type": "encrypted", "data": base64.b64encode(sealed).decode()}).encode()


def unseal(data: Any, secret: str) -> bytes:
    """What stands in `data`. BadMessage("decrypt") when it is torn or was sealed with another secret."""
    if not isinstance(data, str):
        raise BadMessage("decrypt", "no data")
    try:
        raw = base64.b64decode(data)
        return _box(secret).decrypt(raw)
    except (binascii.Error, ValueError, CryptoError) as error:
        raise BadMessage("decrypt", "the key of this phone does not open it") from error


def _box(secret: str) -> SecretBox:
    return SecretBox(secret.encode()[:32].ljust(32, b"\0"))
