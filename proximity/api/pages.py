"""The console and the shopper's page: files as they are, and the way in with a key."""

import hashlib
from importlib import resources
from mimetypes import guess_type
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from proximity.api.problems import ProblemError
from proximity.api.security import COOKIE, Context, cookie_value, same
from proximity.api.values import Token
from proximity.store import people

router = APIRouter(include_in_schema=False)
_FILES = resources.files("proximity.web")
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
REVALIDATE = "no-cache"  # a browser may keep the file, and asks each time whether it is still the one
COOKIE_AGE = 30 * 24 * 3600  # s


def _read(name: str) -> bytes:
    file = _FILES.joinpath(name)
    if not file.is_file():
        raise ProblemError(404, "There is no such file.")
    return file.read_bytes()


def _file(request: Request, name: str, headers: dict[str, str] | None = None) -> Response:
    content = _read(name)
    tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    suffix = name[name.rfind(".") :]
    media = _TYPES.get(suffix) or guess_type(name)[0] or "application/octet-stream"
    every = {"cache-control": REVALIDATE, "etag": tag, **(headers or {})}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers=every)
    return Response(content, headers=every, media_type=media)


@router.get("/")
def console(request: Request, context: Context, key: Annotated[str | None, Query(max_length=512)] = None) -> Response:
    """The live floor plan. `?key=<token>` sets the cookie and comes back without the key in the address."""
    if key is None:
        return HTMLResponse(_read("console.html"))
    if not same(key, context.token):
        return RedirectResponse("/#key-refused", 303)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        cookie_value(context.token),
        max_age=COOKIE_AGE,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """A file of the pages."""
    if "/" in name or "\\" in name or name.startswith(".") or name.endswith((".py", ".html")):
        raise ProblemError(404, "There is no such file.")
    return _file(request, name)


@router.get("/favicon.ico")
def favicon(request: Request) -> Response:
    """Browsers ask for it unbidden."""
    return _file(request, "icon.svg")


@router.get("/sw.js")
def service_worker(request: Request) -> Response:
    """The shopper page's service worker, at the root so that it may serve `/me/`."""
    return _file(request, "sw.js", {"service-worker-allowed": "/me/"})


@router.get("/me/{token}")
def me(context: Context, token: Token) -> Response:
    """A shopper's own page. An unknown token gets the same page with 404: it says what to do."""
    known = people.by_token(context.store, token) is not None
    return HTMLResponse(_read("me.html"), 200 if known else 404)


@router.get("/me/{token}/app.webmanifest")
def manifest(context: Context, token: Token) -> Response:
    """What makes the page installable; it starts at the shopper's own address."""
    if people.by_token(context.store, token) is None:
        raise ProblemError(404, "There is no such page.")
    content = {
        "name": "Offers nearby",
        "short_name": "Offers",
        "id": f"/me/{token}",
        "start_url": f"/me/{token}",
        "scope": "/me/",
        "display": "standalone",
        "background_color": "#f6f5f1",
        "theme_color": "#1f4fd8",
        "icons": [
            {"src": "/static/icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
            {"src": "/static/icon-maskable.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "maskable"},
        ],
    }
    return JSONResponse(content, media_type="application/manifest+json")
