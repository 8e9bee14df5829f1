"""Schemathesis reads the OpenAPI document and tries everything that it allows, and much that it does not.

All of its checks hold, but what the configuration here leaves out, each with its reason. It runs as a command, in a
process of its own, against the real server.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proximity.api.app import create_app
from proximity.api.server import ApiServer
from proximity.store import people
from tests.api_house import PEOPLE, TOKEN, House

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        importlib.util.find_spec("schemathesis") is None,
        reason="schemathesis is not installed: pip install schemathesis",
    ),
]

CONFIGURATION = f"""
[[operations]]
include-path = "/traccar"
# Traccar's protocol answers an unknown device with 400, and every device but ours is unknown.
checks.positive_data_acceptance.expected-statuses = ["200", "400", "404"]

[[operations]]
include-path = "/api/v1/fences"
include-method = "PUT"
# What a geometry has to be is more than a schema can say: crossing outlines, swapped coordinates, ids that repeat.
checks.positive_data_acceptance.expected-statuses = ["200", "404", "409", "422"]

[[operations]]
include-path = "/api/v1/context"
include-method = "PUT"
# Which values there are, and of what type, stands in attributes.yaml.
checks.positive_data_acceptance.expected-statuses = ["200", "422"]

[[operations]]
include-name = "POST /api/v1/rulesets"
# What a rule has to be is more than a schema can say.
checks.positive_data_acceptance.expected-statuses = ["201", "409", "422"]

[generation]
deterministic = true
max-examples = 5

[headers]
Authorization = "Bearer {TOKEN}"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    house = House(tmp_path)
    people.put_shopper(house.store, PEOPLE[0], token="example-token", at=house.now)
    house.withhold(house.hear("ada", "coffee-aisle", "dwell", 60.0), "coffee-linger", "limit_reached", "2 of 2")
    house.now += 1
    house.send(house.hear("ada", "entrance"), "welcome", "Welcome", "Coffee is on us")
    house.place("ada", "coffee-aisle", 3.0, 7.0)
    server = ApiServer(create_app(house.context), port=0)
    server.start()
    yield server
    server.stop()
    house.close()


@pytest.mark.timeout(400)
def test_schemathesis_finds_nothing(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "--no-color",
        "run", f"{server.url}/api/v1/openapi.json",
        # Streams have no end, so a call to them would not return; tests/test_api_events.py drives them.
        "--exclude-path-regex", "/events$",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=380, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    assert int(tested[1]) >= 36  # every operation but the two streams
