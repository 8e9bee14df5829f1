"""Presence state as bytes: MessagePack of plain values and arrays, deflated, behind a version."""

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from proximity.errors import BadMessage

MAGIC = b"PXPS"
VERSION = 1
_ARRAY = 1  # MessagePack extension code of an array: type, shape, bytes
_LEVEL = 1  # most of what can be gained at a tenth of the time of the default


def pack(state: Mapping[str, Any]) -> bytes:
    """`state` of dicts, lists, strings, numbers, booleans, None and NumPy arrays."""
    return MAGIC + bytes([VERSION]) + zlib.compress(msgspec.msgpack.encode(state, enc_hook=_encode), _LEVEL)


def unpack(data: bytes) -> dict[str, Any]:
    """The reverse of `pack`. BadMessage("checkpoint"): not one of ours, of another version, or damaged."""
    if data[: len(MAGIC)] != MAGIC:
        raise BadMessage("checkpoint", "these bytes are no checkpoint of presence")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else None
    if version != VERSION:
        raise BadMessage("checkpoint", f"version {version} is unknown to this release, which reads {VERSION}")
    try:
        state = msgspec.msgpack.decode(zlib.decompress(data[len(MAGIC) + 1 :]), ext_hook=_decode)
    except (zlib.error, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise BadMessage("checkpoint", f"damaged: {error}") from error
    if not isinstance(state, dict):
        raise BadMessage("checkpoint", "damaged: no mapping")
    return state


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        whole = np.ascontiguousarray(value)
        data = msgspec.msgpack.encode((whole.dtype.str, whole.shape, whole.tobytes()))
        return msgspec.msgpack.Ext(_ARRAY, data)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _decode(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    dtype, shape, raw = msgspec.msgpack.decode(data, type=tuple[str, tuple[int, ...], bytes])
    return np.frombuffer(raw, dtype=np.dtype(dtype)).reshape(shape).copy()
