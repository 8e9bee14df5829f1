"""Schemathesis reads the OpenAPI document and tries everything that it allows, and much that it does not.

All of its checks hold, but those named here with the reason why not.
"""

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings

from proximity.api.app import create_app
from proximity.store import people
from tests.api_house import PEOPLE, TOKEN, House

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis")

from schemathesis import checks  # noqa: E402 - only where schemathesis is

pytestmark = pytest.mark.integration

EXAMPLES = 20  # per operation, beside the documented ones

# The phones' doors take what phones send: they promise no shape and refuse nothing by it.
LENIENT = ("/owntracks", "/traccar")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    house = House(tmp_path)
    people.put_shopper(house.store, PEOPLE[0], token="example-token", at=house.now)
    house.withhold(house.hear("ada", "coffee-aisle", "dwell", 60.0), "coffee-linger", "limit_reached", "2 of 2")
    house.now += 1
    house.send(house.hear("ada", "entrance"), "welcome", "Welcome", "Coffee is on us")
    house.place("ada", "coffee-aisle", 3.0, 7.0)
    yield create_app(house.context)
    house.close()


@pytest.fixture
def api(app: FastAPI):  # type: ignore[no-untyped-def]  # schemathesis may be missing, and its types with it
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    # Streams have no end, so a call to them would not return; tests/test_api_events.py drives them.
    return schema.exclude(path_regex=r"/events$")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation(case) -> None:  # type: ignore[no-untyped-def]
    case.call_and_validate(headers={"authorization": f"Bearer {TOKEN}"})
