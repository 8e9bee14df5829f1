"""Presence state as bytes: MessagePack of plain values and arrays, deflated, behind a version.

A store keeps it in parts: one for each site's radios, which are most of it and change only where somebody is heard,
and HOUSE for everything else. So what did not change need not be written again.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from proximity.errors import BadMessage

MAGIC = b"PXPS"
VERSION = 2
HOUSE = ""  # name of the part that belongs to no site
_ARRAY = 1  # MessagePack extension code of an array: type, shape, bytes
_LEVEL = 1  # most of what can be gained at a tenth of the time of the default


def pack(state: Mapping[str, Any]) -> bytes:
    """`state` of dicts, lists, strings, numbers, booleans, None and NumPy arrays."""
    return seal(encode(state))


def seal(encoded: bytes) -> bytes:
    """What `encode` made of a state, deflated and behind the version."""
    return MAGIC + bytes([VERSION]) + zlib.compress(encoded, _LEVEL)


def unpack(data: bytes) -> dict[str, Any]:
    """The reverse of `pack`. BadMessage("checkpoint"): not one of ours, of another version, or damaged."""
    if data[: len(MAGIC)] != MAGIC:
        raise BadMessage("checkpoint", "these bytes are no checkpoint of presence")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else None
    if version != VERSION:
        raise BadMessage("checkpoint", f"version {version} is unknown to this release, which reads {VERSION}")
    try:
        state = decode(zlib.decompress(data[len(MAGIC) + 1 :]))
    except (zlib.error, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise BadMessage("checkpoint", f"damaged: {error}") from error
    if not isinstance(state, dict):
        raise BadMessage("checkpoint", "damaged: no mapping")
    return state


def split(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts of an engine's state by name: HOUSE, and the radios of each site under its id."""
    return {HOUSE: {**state, "radios": {}}, **state["radios"]}


def join(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The reverse of `split`. BadMessage("checkpoint"): the house is missing."""
    if HOUSE not in parts:
        raise BadMessage("checkpoint", "damaged: the part of the house is missing")
    return {**parts[HOUSE], "radios": {site: part for site, part in parts.items() if site != HOUSE}}


def encode(value: Any) -> bytes:
    """Dicts, lists, strings, numbers, booleans, None and NumPy arrays as MessagePack."""
    return msgspec.msgpack.encode(value, enc_hook=_encode)


def decode(data: bytes) -> Any:
    """The reverse of `encode`. ValueError, TypeError or msgspec.MsgspecError: not what it wrote."""
    return msgspec.msgpack.decode(data, ext_hook=_decode)


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
