"""A service on a driven clock with the example shop, for the tests of faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proximity.configuration import Configuration, load_configuration
from proximity.examples import example_config
from tests.test_service import House


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load_configuration(example_config())


@pytest.fixture
def house(tmp_path: Path, configuration: Configuration) -> Iterator[House]:
    made = House(tmp_path, configuration)
    yield made
    made.store.close()
