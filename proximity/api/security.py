"""Who may see what: the operator's token as bearer or cookie, a shopper's token in the path, and headers for all."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proximity.api.context import ApiContext
from proximity.api.problems import ProblemError
from proximity.wire import MAX_PAYLOAD

COOKIE = "proximity_console"
_bearer = HTTPBearer(auto_error=False, scheme_name="operator", description="The operator's token.")
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="console", description="Set by opening `/?key=<token>`."
)

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "geolocation=(self), camera=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def get_context(request: Request) -> ApiContext:
    """The context the application was made with."""
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(get_context)]


def same(given: str, wanted: str) -> bool:
    """Equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(_digest(given), _digest(wanted))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def cookie_value(token: str) -> str:
    """What the console's cookie holds: not the token itself, so that a leaked cookie is no bearer token."""
    return hmac.new(token.encode(), b"proximity console", hashlib.sha256).hexdigest()


def is_operator(
    context: Context,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    cookie: Annotated[str | None, Security(_cookie)],
) -> bool:
    """Whether the caller holds the operator's token."""
    if bearer is not None and same(bearer.credentials, context.token):
        return True
    return cookie is not None and same(cookie, cookie_value(context.token))


def require_operator(operator: Annotated[bool, Depends(is_operator)]) -> None:
    """Problem 401 for everybody else."""
    if not operator:
        raise ProblemError(
            401,
            "This needs the operator's token: `Authorization: Bearer <token>`.",
            {"WWW-Authenticate": 'Bearer realm="proximity"'},
        )


def require_till(
    context: Context,
    operator: Annotated[bool, Depends(is_operator)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> None:
    """Problem 401 for everybody but the tills and the operator."""
    till = context.till_token
    if operator or (bearer is not None and till is not None and same(bearer.credentials, till)):
        return
    raise ProblemError(
        401,
        "This needs the till's token: `Authorization: Bearer <token>`.",
        {"WWW-Authenticate": 'Bearer realm="proximity"'},
    )


Operator = Annotated[bool, Depends(is_operator)]
operator_only: list[Any] = [Depends(require_operator)]


class Shield:
    """Security headers on every answer, no caching unless the answer says otherwise, and a bound on bodies."""

    def __init__(self, app: ASGIApp, limit: int = MAX_PAYLOAD, bulk: Mapping[str, int] | None = None) -> None:
        """`bulk`: bytes that bodies of some paths may hold."""
        self.app = app
        self.limit = limit
        self.bulk = bulk or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0
        limit = self.bulk.get(scope["path"], self.limit)

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise HTTPException(413, f"A body may hold {limit} bytes at most.")
            return message

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, bounded, guarded)
