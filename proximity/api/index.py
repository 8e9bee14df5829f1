"""Where a developer begins: the API's own address."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

router = APIRouter(tags=["operations"])
PREFIX = "/api/v1"


class Index(BaseModel):
    """What is here, with the addresses to go on from."""

    name: str
    version: str
    description: str = Field(description="The OpenAPI document tells every address, who may use it, and its answers.")
    links: dict[str, str]


@router.get("")
def read_index(request: Request) -> Index:
    """Where to go on."""
    app = request.app
    links = {name: PREFIX + path for name, path in (("sites", "/sites"), ("health", "/health"), ("stats", "/stats"))}
    return Index(
        name=app.title,
        version=app.version,
        description=app.description,
        links={"openapi": app.openapi_url, **links, "events": f"{PREFIX}/events", "metrics": "/metrics", "pages": "/"},
    )
