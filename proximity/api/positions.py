"""Positions in bulk, for servers that gather them elsewhere."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request

from proximity.api.fence_schemas import PositionsOut, RowProblem
from proximity.api.phones import hand_on
from proximity.api.problems import ProblemError, responses
from proximity.api.security import Context, operator_only
from proximity.api.values import DEVICE_ID, FUTURE
from proximity.errors import BadMessage
from proximity.phones.report import moment, place

router = APIRouter(tags=["positions"], dependencies=operator_only)
TOPIC = "positions/api"
MOST = 100_000  # rows a request
PIECE = 10_000  # rows a message of the pipeline, so that a turn stays short
MOST_TOLD = 100
NDJSON = "application/x-ndjson"


class Position(msgspec.Struct, frozen=True):
    """One row. Other keys are ignored."""

    device: Annotated[str, msgspec.Meta(pattern=DEVICE_ID, max_length=160)]
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    accuracy: Annotated[float, msgspec.Meta(ge=0, le=1e7)] | None = None  # m; None or 0: unknown
    at: Annotated[float, msgspec.Meta(gt=0, le=FUTURE * 1000)] | None = None  # s, or ms; None: now
    speed: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None = None  # m/s
    course: Annotated[float, msgspec.Meta(ge=0, le=360)] | None = None  # degrees


Row = tuple[str, int, float, float, float | None]  # device, ms, lat, lon, accuracy
_whole = msgspec.json.Decoder(list[Position])
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(Position)
_ROW: dict[str, Any] = {
    "type": "object",
    "required": ["device", "lat", "lon"],
    "properties": {
        "device": {"type": "string", "examples": ["owntracks:ada/phone"]},
        "lat": {"type": "number", "minimum": -90, "maximum": 90},
        "lon": {"type": "number", "minimum": -180, "maximum": 180},
        "accuracy": {"type": ["number", "null"], "description": "Metres; null: unknown."},
        "at": {"type": ["number", "null"], "description": "Seconds or milliseconds since the epoch; null: now."},
        "speed": {"type": ["number", "null"], "description": "m/s"},
        "course": {"type": ["number", "null"], "description": "Degrees clockwise from north."},
    },
}
_ROWS: dict[str, Any] = {
    "type": "array",
    "maxItems": MOST,
    "items": {"anyOf": [_ROW, {}], "description": "A row that is no position is refused and named in the answer."},
}


@router.post(
    "/positions",
    responses=responses(400, 401, 413, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ROWS},
                NDJSON: {"schema": {"type": "string", "description": "A position a line."}},
            },
        }
    },
)
async def post_positions(request: Request, context: Context) -> PositionsOut:
    """Take positions of registered devices: a JSON array, or one JSON object a line (`application/x-ndjson`).

    The answer comes after the commit. Each row stands for itself: one that cannot be used is counted and named, the
    others are taken. Sending a row again changes nothing. 503: not all of it could be committed in time, send it again.
    """
    lines = request.headers.get("content-type", "").partition(";")[0].strip().lower() == NDJSON
    body = await request.body()
    rows, refused = await asyncio.to_thread(_read, body, lines, context.clock())
    known = context.live.tracked({row[0] for row in rows})
    mine = [row for row in rows if row[0] in known]
    pieces = [msgspec.json.encode(mine[first : first + PIECE]) for first in range(0, len(mine), PIECE)]
    results = await asyncio.gather(*(hand_on(context, TOPIC, piece) for piece in pieces))
    wrong = [result for result in results if result != "accepted"]
    if wrong:
        raise BadMessage(wrong[0])
    return PositionsOut(
        accepted=len(mine), unknown=len(rows) - len(mine), refused=len(refused), errors=refused[:MOST_TOLD]
    )


def _read(body: bytes, lines: bool, now: float) -> tuple[list[Row], list[RowProblem]]:
    """Rows that can be used, and those that cannot. ProblemError 400 or 422 for a body that is no rows at all."""
    positions: Sequence[Position | RowProblem]
    try:
        if lines:
            raise msgspec.ValidationError  # each line by itself
        positions = _whole.decode(body)
    except msgspec.ValidationError:
        positions = list(_each(_lines(body) if lines else _split(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from None
    if len(positions) > MOST:
        raise ProblemError(422, f"{len(positions)} rows are more than a request may hold: {MOST}")
    rows: list[Row] = []
    refused: list[RowProblem] = []
    for i, one in enumerate(positions):
        if isinstance(one, RowProblem):
            refused.append(one)
            continue
        try:
            lat, lon = place(one.lat, one.lon)
            at = now if one.at is None else moment(one.at, now)
        except BadMessage as error:
            refused.append(RowProblem(row=i, reason=error.reason, message=error.detail[:300]))
            continue
        rows.append((one.device, round(at * 1000), lat, lon, one.accuracy or None))
    return rows, refused


def _split(body: bytes) -> list[bytes]:
    try:
        return [bytes(part) for part in _parts.decode(body)]
    except msgspec.ValidationError:
        raise ProblemError(422, "The body must be an array of positions, or one position a line as NDJSON.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from None


def _no_json(error: Exception) -> ProblemError:
    return ProblemError(400, f"The body is no JSON: {error}")


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.splitlines() if line.strip()]


def _each(parts: Sequence[bytes]) -> Iterator[Position | RowProblem]:
    for i, part in enumerate(parts):
        try:
            yield _one.decode(part)
        except msgspec.ValidationError as error:
            key = str(error).rpartition("$.")[2].rstrip("`") if "$." in str(error) else "shape"
            yield RowProblem(row=i, reason=key[:64], message=str(error)[:300])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield RowProblem(row=i, reason="json", message=str(error)[:300])
