"""The HTTP face of the service: the API, the phones' doors and the pages, as one application."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from proximity.api import (
    context_values,
    coupons,
    fences,
    history,
    index,
    me,
    operations,
    pages,
    phones,
    positions,
    presence,
    problems,
    results,
    rulesets,
    shop_events,
    shoppers,
    sites,
)
from proximity.api.context import ApiContext
from proximity.api.counts import Counter
from proximity.api.events import Closing
from proximity.api.security import Shield

PREFIX = "/api/v1"
BULK = 16 << 20  # bytes: a hundred thousand positions, ten thousand fences
DESCRIPTION = """Who is where, what the rules decided and why, and the offers that came of it.

Times are seconds since the epoch in UTC, lengths metres. Errors are problem details (RFC 9457)."""


def create_app(context: ApiContext) -> FastAPI:
    """The application. It holds no state of its own but the latest counts and what phones sent."""
    app = FastAPI(
        title="Proximity",
        description=DESCRIPTION,
        version=_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its scripts would come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses={405: problems.responses(405)[405]},
    )
    app.state.context = context
    app.state.counter = Counter(context.live, context.clock)
    app.state.closing = Closing()
    app.state.phones = phones.PhoneMetrics(context.registry)
    problems.install(app)
    tables = (
        index,
        sites,
        fences,
        positions,
        shoppers,
        history,
        presence,
        coupons,
        context_values,
        shop_events,
        results,
        operations,
        rulesets,
        me,
    )
    parts = [(PREFIX, part.router) for part in tables]
    parts += [("", router) for router in (operations.metrics_router, phones.router, pages.router)]
    for prefix, router in parts:
        app.include_router(router, prefix=prefix)
    app.state.doors = [
        problems.Door(compile_path(prefix + route.path)[0], frozenset(route.methods or ()))
        for prefix, router in parts
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    app.add_middleware(Shield, bulk={f"{PREFIX}/fences": BULK, f"{PREFIX}/positions": BULK, f"{PREFIX}/rulesets": BULK})
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _version() -> str:
    try:
        return version("proximity")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"


def _operation_id(route: APIRoute) -> str:
    return route.name


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document: problems instead of the framework's own error shape, and the phones' Basic scheme."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, openapi_version="3.1.0"
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for path, methods in document["paths"].items():
        for operation in methods.values():
            _complete(path, operation)
    _close_patterns(document)
    components.setdefault("securitySchemes", {})["phone"] = {
        "type": "http",
        "scheme": "basic",
        "description": "The device's password; a device without one may send from the service's own machine only.",
    }
    app.openapi_schema = document
    return document


def _complete(path: str, operation: dict[str, Any]) -> None:
    """What the framework does not say of itself: bodies that cannot be read, and tokens that add but are not needed."""
    answers = operation["responses"]
    if "requestBody" in operation and path.startswith(PREFIX):
        answers.update({str(status): one for status, one in problems.responses(400, 413).items()})
    if "401" not in answers and {"operator": []} in operation.get("security", []):
        operation["security"].append({})


def _close_patterns(part: Any) -> None:
    """Keys that match no pattern are refused, so the document says so."""
    if isinstance(part, dict):
        if "patternProperties" in part:
            part["additionalProperties"] = False
        for value in part.values():
            _close_patterns(value)
    elif isinstance(part, list):
        for value in part:
            _close_patterns(value)
