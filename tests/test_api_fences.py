"""Fences and positions in bulk: what is taken, what is refused and how it is told, and what comes of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from proximity.api.fences import MOST
from proximity.configuration import load_configuration
from proximity.examples import example_config
from proximity.feed import Feed
from proximity.ingest.inbound import Inbound, Inbox
from proximity.model import Device
from proximity.service import Service
from proximity.site.frames import to_degrees
from proximity.store import fences, history, people
from proximity.store.database import open_store
from tests.api_house import MARAIS, House, call
from tests.test_service import START
from tests.test_service import House as Shop

FENCES, POSITIONS = "/api/v1/fences", "/api/v1/positions"
LON, LAT = 2.3563, 48.8568


@pytest.fixture
def house(house: House) -> House:
    people.put_device(house.store, Device("owntracks:ada/phone", "ada", "owntracks"))
    return house


def circle(name: str, lon: float = LON, lat: float = LAT, radius: float = 100.0, **more: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"id": name, "radius": radius, **more},
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
    }


def polygon(key: str, *points: Sequence[float], **more: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [[*points, points[0]]]}
    return {"type": "Feature", "properties": {"id": key, **more}, "geometry": geometry}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def put(app: FastAPI, body: Any, site: str = "marais") -> httpx.Response:
    return call(app, "PUT", f"{FENCES}?site={site}", operator=True, json=body)


SQUARE = ([LON, LAT], [LON + 0.01, LAT], [LON + 0.01, LAT + 0.01], [LON, LAT + 0.01])


def test_fences_are_put_changed_read_and_removed(app: FastAPI, house: House) -> None:
    square = polygon("square", *SQUARE, name="The square", tags=["food"], enter_after="20s", exit_margin=5)
    assert put(app, collection(circle("b"), circle("a"), square)).json() == {"site": "marais", "put": 3}
    first = call(app, "GET", f"{FENCES}?site=marais&limit=2", operator=True).json()
    assert ([one["id"] for one in first["features"]], first["next"]) == (["a", "b"], "b")
    rest = call(app, "GET", f"{FENCES}?site=marais&limit=2&after=b", operator=True).json()
    assert rest["next"] is None
    (found,) = rest["features"]
    assert found["properties"] == {
        "id": "square", "name": "The square", "outdoor": True, "floor": 0, "tags": ["food"], "enter_after": 20.0,
        "exit_margin": 5.0,
    }  # fmt: skip
    assert put(app, collection(*first["features"], found)).status_code == 200  # what comes out can be put again
    before = {one.id: one for one in fences.everything(house.store)}
    assert put(app, collection(circle("a", radius=50.0))).status_code == 200
    after = {one.id: one for one in fences.everything(house.store)}
    assert after["a"].radius == 50.0
    assert after["square"] == before["square"]
    gone = call(app, "DELETE", f"{FENCES}?site=marais&id=a&id=square&id=never", operator=True)
    assert gone.json() == {"site": "marais", "removed": 2}
    assert call(app, "DELETE", f"{FENCES}?site=marais&id=a", operator=True).status_code == 404
    assert [one.id for one in fences.everything(house.store)] == ["b"]


def test_every_mistake_is_told_with_its_feature_and_nothing_is_put(app: FastAPI, house: House) -> None:
    bow = polygon("bow", SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3])
    body = collection(
        circle("fine"),
        bow,
        circle("no-radius") | {"properties": {"id": "no-radius"}},
        circle("swapped", LAT, LON),
        circle("fine"),
        polygon("thin", SQUARE[0], SQUARE[1]),
        circle("indoors", outdoor=False),
        {"type": "Feature", "properties": {"kind": "wall"}, "geometry": {"type": "LineString", "coordinates": SQUARE}},
        circle("Upper Case"),
        circle("strange", colour="red"),
        polygon("pole", [0, 80], [90, 80], [180, 80], [-90, 80]),
        circle("off", 500.0),
    )
    answer = put(app, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    told = {one["where"]: one["message"] for one in answer.json()["errors"]}
    wanted = {
        "body.features.1.geometry": "crosses itself",
        "body.features.2.geometry": "radius",
        "body.features.3.geometry.coordinates": "swapped",
        "body.features.4.properties.id": "is there twice",
        "body.features.5.geometry.coordinates": "three different points",
        "body.features.6.properties.outdoor": "a fence is outdoors",
        "body.features.7.properties.kind": "only zones",
        "body.features.8.properties.id": "lower-case",
        "body.features.9.properties.colour": "unknown key",
        "body.features.10.geometry.coordinates": "pole",
        "body.features.11.geometry.coordinates": "outside of the Earth",
    }
    for where, words in wanted.items():
        assert any(place.startswith(where) and words in message for place, message in told.items()), (where, told)
    assert fences.everything(house.store) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[]", 422),
        ('{"type": "FeatureCollection"}', 422),
        ('{"type": "FeatureCollection", "features": 1}', 422),
        ('{"type": "Feature"}', 422),
        (json.dumps(collection("x", None, {})), 422),
        (json.dumps(collection(circle("near-the-pole", 0.0, 89.0))), 422),
        (json.dumps(collection(circle("round-the-pole", 0.0, 87.0, 500_000.0))), 422),
        (json.dumps({"type": "FeatureCollection", "features": [{}] * (MOST + 1)}), 422),
    ],
)
def test_a_body_that_is_no_collection_of_fences_is_refused(app: FastAPI, house: House, body: str, status: int) -> None:
    answer = call(app, "PUT", f"{FENCES}?site=marais", operator=True, content=body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert fences.everything(house.store) == []


def test_a_zone_of_the_files_counts_first(app: FastAPI, house: House) -> None:
    answer = put(app, collection(circle("fine"), circle("car-park"), circle("entrance")))
    assert answer.status_code == 409
    assert "car-park, entrance" in answer.json()["detail"]
    assert fences.everything(house.store) == []
    assert put(app, collection(circle("fine")), site="nowhere").status_code == 404


@pytest.mark.parametrize("path", [FENCES, POSITIONS])
def test_bodies_are_bounded_and_larger_than_elsewhere(app: FastAPI, path: str) -> None:
    method = "PUT" if path == FENCES else "POST"
    large = b" " * (2 << 20) + b"["
    assert call(app, method, f"{path}?site=marais", operator=True, content=large).status_code == 400
    huge = b" " * (17 << 20)
    assert call(app, method, f"{path}?site=marais", operator=True, content=huge).status_code == 413


ROWS: list[Any] = [
    {"device": "owntracks:ada/phone", "lat": 48.0, "lon": 2.0, "accuracy": 8, "at": START - 5, "speed": 1.2},
    {"device": "owntracks:ada/phone", "lat": "48", "lon": 2.0},
    {"device": "owntracks:ada/phone", "lat": 98.0, "lon": 2.0},
    {"device": "owntracks:ada/phone", "lat": 0, "lon": 0},
    {"device": "nonsense", "lat": 1, "lon": 1},
    {"device": "owntracks:nobody/phone", "lat": 1, "lon": 1},
    {"device": "owntracks:deniz/phone", "lat": 1, "lon": 1, "at": (START - 3) * 1000, "accuracy": 0},
    7,
    {"lat": 1, "lon": 1},
    {"device": "app:ada", "lat": 48.1, "lon": 2.1},
]
WANTED = [(1, "lat"), (2, "lat"), (3, "position"), (4, "device"), (7, "shape"), (8, "shape")]


@pytest.mark.parametrize("lines", [False, True])
def test_positions_are_taken_row_by_row_and_refused_ones_named(app: FastAPI, house: House, lines: bool) -> None:
    body = "\n\n".join(json.dumps(row) for row in ROWS) + "\n" if lines else json.dumps(ROWS)
    kind = "application/x-ndjson; charset=utf-8" if lines else "application/json"
    answer = call(app, "POST", POSITIONS, operator=True, content=body, headers={"content-type": kind})
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["unknown"], told["refused"]) == (200, 2, 2, 6)
    assert [(one["row"], one["reason"]) for one in told["errors"]] == WANTED
    ((topic, payload),) = house.live.submitted
    assert topic == "positions/api"
    assert json.loads(payload) == [
        ["owntracks:ada/phone", round((START - 5) * 1000), 48.0, 2.0, 8.0],
        ["app:ada", round(house.now * 1000), 48.1, 2.1, None],
    ]


def test_lines_that_are_no_json_are_named_too(app: FastAPI) -> None:
    good = json.dumps(ROWS[0])
    headers = {"content-type": "application/x-ndjson"}
    answer = call(app, "POST", POSITIONS, operator=True, content=f"{good}\n{{\n{good}", headers=headers).json()
    assert (answer["accepted"], [(one["row"], one["reason"]) for one in answer["errors"]]) == (2, [(1, "json")])


@pytest.mark.parametrize(("body", "status"), [(b"{}", 422), (b"1", 422), (b"[1,", 400), (b"\xff", 400), (b"[]", 200)])
def test_a_body_that_is_no_array_is_refused(app: FastAPI, house: House, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    assert call(app, "POST", POSITIONS, operator=True, content=body, headers=headers).status_code == status
    assert house.live.submitted == []


class Caller:
    """Takes a turn of the pipeline for every message that a door submits."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def positions(self, rows: Sequence[Any]) -> None:
        payload = json.dumps(list(rows)).encode()
        self._shop.service.turn([Inbound("positions/api", payload, self._shop.now)])


def test_fences_are_in_force_at_once_and_survive_a_restart(tmp_path: Path) -> None:
    shop = Shop(tmp_path, load_configuration(example_config()))
    site = shop.configuration.sites[0]
    assert site.lat is not None
    assert site.lon is not None
    lat, lon = (float(v) for v in to_degrees(site.lat, site.lon, 0.0, 3000.0, 0.0))
    phone = "owntracks:ada/phone"
    people.put_device(shop.store, Device(phone, "ada", "owntracks"))
    shop.service.everybody_changed()
    zone = _zone(circle("depot", lon, lat), site.id)
    caller = Caller(shop)
    caller.positions([[phone, round(shop.now * 1000), lat, lon, 10.0]])
    assert shop.service.inside("ada") == set()
    shop.now += 1
    assert shop.service.change_fences(site.id, [zone]) == 0
    assert shop.service.inside("ada") == {(site.id, "depot")}
    assert shop.service.change_fences(site.id, [zone]) == 0  # the same again
    shop.service.configure(shop.configuration)  # the files were read again
    assert shop.kinds() == [("enter", "depot")]
    assert shop.service.file_zones(site.id) == {one.id for one in site.zones}
    shop.restart()
    assert shop.service.inside("ada") == {(site.id, "depot")}
    assert "depot" in {one.id for one in shop.service.configuration.sites[0].zones}
    shop.now += 5
    assert shop.service.change_fences(site.id, (), ["depot"]) == 1
    assert history.transitions(shop.store)[0].cause == "zone_removed"
    shop.store.close()


def test_a_zone_of_the_files_hides_a_fence_of_its_name(tmp_path: Path) -> None:
    configuration = load_configuration(example_config())
    site = configuration.sites[0]
    store = open_store(f"sqlite:///{tmp_path / 'f.db'}")
    store.migrate()
    name = site.zones[0].id
    fences.put(store, [_zone(circle(name), site.id), _zone(circle("other"), site.id)], START)
    service = Service(store, configuration, lambda: START, Inbox(), Feed())
    assert [one.id for one in service.configuration.sites[0].zones] == [*(one.id for one in site.zones), "other"]
    store.close()


def _zone(feature: dict[str, Any], site: str) -> Any:
    from dataclasses import replace

    from proximity.api.fences import _read

    zones, wrong = _read(json.dumps(collection(feature)).encode(), replace(MARAIS, id=site))
    assert wrong == []
    return zones[0]
