"""Errors as RFC 9457 problem details: one shape for everything that goes wrong."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from proximity.errors import BadMessage, ProximityError

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """One field that was refused."""

    where: str = Field(description="Place of the value, for instance `query.limit` or `body.languages.0`.")
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(default="about:blank", description="A URI that names the kind of problem.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(ge=400, le=599)
    detail: str | None = Field(default=None, description="What happened this time, and what to do.")
    instance: str | None = Field(default=None, description="The path that was asked for.")
    errors: list[FieldProblem] | None = Field(default=None, description="Every field that was refused.")


class ProblemError(Exception):
    """Raised by routes. `detail` is for the person who reads it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem_response(
    request: Request,
    status: int,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """The answer itself. ASCII only, so that a lone surrogate in the path cannot break the error about it."""
    title = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    body["instance"] = _instance(request)
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status, headers=headers, media_type=MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: the problems it may answer with, for the OpenAPI document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def _instance(request: Request) -> str:
    """The path without a shopper's token: problem texts end up in logs and screenshots."""
    words = request.url.path.split("/")
    if "me" in words[:-1]:
        words[words.index("me") + 1] = "…"
    return "/".join(words)


class Door(NamedTuple):
    """A path and what it can be asked."""

    path: re.Pattern[str]
    methods: frozenset[str]


def _allowed(app: FastAPI, request: Request) -> str:
    """Every method of the path. The framework names those of the first route that fits, and each route has one."""
    doors: Sequence[Door] = app.state.doors
    return ", ".join(sorted({method for door in doors if door.path.match(request.url.path) for method in door.methods}))


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem: ours, the framework's and the unforeseen."""

    @app.exception_handler(ProblemError)
    async def _ours(request: Request, error: ProblemError) -> Response:
        return problem_response(request, error.status, error.detail, headers=error.headers)

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> Response:
        detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
        headers = {"Allow": _allowed(app, request)} if error.status_code == 405 else error.headers
        return problem_response(request, error.status_code, detail, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [
            {"where": ".".join(str(part) for part in one["loc"])[:200], "message": str(one["msg"])[:300]}
            for one in error.errors()[:20]
        ]
        return problem_response(request, 422, "The request is not as documented.", errors=errors)

    @app.exception_handler(BadMessage)
    async def _message(request: Request, error: BadMessage) -> Response:
        return problem_response(request, 400, f"The message was refused: {error.reason}")

    @app.exception_handler(ProximityError)
    async def _known(request: Request, error: ProximityError) -> Response:
        return problem_response(request, 503, str(error))

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, _error: Exception) -> Response:
        return problem_response(request, 500, "Something went wrong here. The service's log says what.")
