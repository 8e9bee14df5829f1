"""Phones that speak HTTP: OwnTracks and Traccar Client.

A phone sends again what is not answered with 2xx. So a message that is refused for good gets 200 and is counted,
and one that could not be committed in time gets 503.
"""

import asyncio
import base64
import binascii
import ipaddress
import json
import os
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, HTTPException, Request
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric
from starlette.responses import JSONResponse, Response

from proximity.api.context import ApiContext
from proximity.api.problems import ProblemError, responses
from proximity.api.security import Context, same
from proximity.errors import BadMessage
from proximity.model import Device
from proximity.phones.owntracks import device_of, http_topic
from proximity.phones.sealed import NONCE, seal
from proximity.phones.traccar import read as read_traccar

router = APIRouter(tags=["phones"])
_LIST: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
_ENCRYPTED: dict[str, Any] = {
    "type": "object",
    "required": ["_type", "data"],
    "properties": {"_type": {"const": "encrypted"}, "data": {"type": "string"}},
}


class PhoneMetrics:
    """What phones sent, by protocol and what became of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.posts = Metric(
            "proximity_phone_posts", "Messages that phones sent over HTTP.", ["protocol", "result"], registry=registry
        )

    def count(self, protocol: str, result: str) -> None:
        """`result` is accepted, empty, unknown, late or a refusal's reason."""
        self.posts.labels(protocol, result).inc()


def _metrics(request: Request) -> PhoneMetrics:
    metrics: PhoneMetrics = request.app.state.phones
    return metrics


def _loopback(request: Request) -> bool:
    if request.client is None:
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _basic_password(request: Request) -> str:
    """The password of Basic authorization; empty without one."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _admitted(request: Request, device: Device | None, password: str) -> bool:
    """Whether the caller may speak for `device`. Without a password set, only this machine may."""
    if device is None:
        same(password, "nobody")  # takes as long as for a device that exists
        return False
    if device.password:
        return same(password, device.password)
    return _loopback(request)


async def hand_on(context: ApiContext, topic: str, payload: bytes) -> str:
    """Give it to the service and wait for the commit: `accepted`, or the reason why it was refused for good.

    ProblemError 503 when the commit takes too long or there is no room: the phone keeps it and sends again.
    """
    try:
        async with asyncio.timeout(context.submit_timeout):
            future = await asyncio.to_thread(context.live.submit, topic, payload)
            await asyncio.shield(asyncio.wrap_future(future))
    except TimeoutError:
        raise ProblemError(503, "The message could not be committed in time. Send it again.", _AGAIN) from None
    except BadMessage as error:
        if error.reason == "busy":
            raise ProblemError(503, "There is no room for the message now. Send it again.", _AGAIN) from None
        return error.reason
    return "accepted"


_AGAIN = {"Retry-After": "5"}
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="proximity", charset="UTF-8"'}


@router.post(
    "/owntracks",
    response_class=JSONResponse,
    responses={
        **responses(401, 503),
        200: {
            "description": "Commands for the phone: none, `[]`. To a phone with a key, the same encrypted whole.",
            "content": {"application/json": {"schema": {"anyOf": [_LIST, _ENCRYPTED]}}},
        },
    },
    openapi_extra={
        "security": [{"phone": []}, {}],
        "parameters": [
            {"name": name, "in": place, "required": False, "schema": {"type": "string"}}
            for name, place in (("u", "query"), ("d", "query"), ("X-Limit-U", "header"), ("X-Limit-D", "header"))
        ],
        "requestBody": {"content": {"application/json": {"schema": {}}}},  # anything: see the reply
    },
)
async def owntracks(request: Request, context: Context) -> Response:
    """Take one message of an OwnTracks phone in HTTP mode.

    Basic authorization carries the device's password; a device without one may send from this machine only. A
    message that is refused for good gets 200 too, because the phone would send it for ever.
    """
    metrics = _metrics(request)
    try:
        body = await request.body()
    except HTTPException:
        metrics.count("owntracks", "too_large")
        return JSONResponse([])
    try:
        topic = http_topic(request.query_params, request.headers, body)
        device_id = device_of(topic)
    except BadMessage as error:
        metrics.count("owntracks", error.reason if body.strip() else "empty")
        return JSONResponse([])
    device = context.live.known_device(device_id)
    if device is None or not _admitted(request, device, _basic_password(request)):
        metrics.count("owntracks", "unknown")
        raise ProblemError(401, "The device is not known here, or its password is another.", _CHALLENGE)
    topic = f"owntracks/{device_id.removeprefix('owntracks:')}"
    metrics.count("owntracks", await hand_on(context, topic, body) if body.strip() else "empty")
    if device.secret:
        return Response(seal(b"[]", device.secret, os.urandom(NONCE)), media_type="application/json")
    return JSONResponse([])


_TAKEN: dict[int | str, dict[str, Any]] = {
    **responses(400, 404, 413, 503),
    200: {"description": "Taken.", "content": {"text/plain": {"schema": {"type": "string", "maxLength": 0}}}},
}
_OSMAND = {
    name: {"type": "string"}
    for name in ("id", "deviceid", "timestamp", "lat", "lon", "location", "speed", "bearing", "accuracy", "key")
}
_FORM: dict[str, Any] = {"type": "object", "properties": _OSMAND}
_DOORS: dict[str, Any] = {
    "security": [{"phone": []}, {}],
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in _OSMAND.items()
    ],
}


@router.get("/traccar", response_class=Response, responses=_TAKEN, openapi_extra=_DOORS)
async def traccar(request: Request, context: Context) -> Response:
    """Take one position in the query, as Traccar Client and all that speak the OsmAnd protocol send it.

    A device with a password gives it by Basic authorization or as `key`; one without may send from this machine only.
    An unknown device gets 400, as Traccar's own server answers.
    """
    return await _traccar(request, context)


@router.post(
    "/traccar",
    response_class=Response,
    responses=_TAKEN,
    openapi_extra={
        **_DOORS,
        "requestBody": {
            "content": {
                "application/x-www-form-urlencoded": {"schema": _FORM},
                "application/json": {"schema": {}},
            }
        },
    },
)
async def traccar_post(request: Request, context: Context) -> Response:
    """Take one position as a form, or positions as the JSON of Traccar Client 9 and later.

    As by GET; to JSON an unknown device is answered with 404.
    """
    return await _traccar(request, context)


async def _traccar(request: Request, context: ApiContext) -> Response:
    body = await request.body()
    # Some clients put everything into the query of a POST and call the empty body JSON.
    is_json = bool(body.strip()) and ("json" in request.headers.get("content-type", "") or body[:1] == b"{")
    parameters = _parameters(request, b"" if is_json else body)
    key = parameters.pop("key", "")
    if not is_json:
        body = json.dumps(parameters).encode()
    metrics = _metrics(request)
    try:
        device_id = read_traccar(body, context.clock()).device
    except BadMessage as error:
        metrics.count("traccar", error.reason)
        if error.reason == "device":
            raise _unknown(is_json) from None
        return Response(media_type="text/plain")
    if not _admitted(request, context.live.known_device(device_id), _basic_password(request) or key):
        metrics.count("traccar", "unknown")
        raise _unknown(is_json)
    metrics.count("traccar", await hand_on(context, f"traccar/{device_id.removeprefix('traccar:')}", body))
    return Response(media_type="text/plain")


def _unknown(is_json: bool) -> ProblemError:
    return ProblemError(404 if is_json else 400, "The device is not known here, or its password is another.")


def _parameters(request: Request, body: bytes) -> dict[str, str]:
    """Query and form together; the form counts where both say something."""
    try:
        form = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=100)
    except ValueError:
        form = []
    return {**dict(request.query_params), **dict(form)}
