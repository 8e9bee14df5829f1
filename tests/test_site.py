"""Site files that are right: what becomes of them, and that nothing in them ever raises."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from proximity.document import Diagnostic, parse
from proximity.identity.directory import Directory
from proximity.identity.ephemeral import ephemeral_id
from proximity.model import Device, Shopper
from proximity.site.frames import to_degrees, to_local
from proximity.site.load import LoadedSites, load_sites, parse_people, parse_site
from proximity.site.model import Anchor, PresenceOptions, Site, Wall, Zone
from proximity.site.radios import Claims

HERE = Path(__file__).parent
CONFIG = HERE.parent / "config"
GOOD = HERE / "site" / "good"
LYON = "id: s\nname: S\ntimezone: Europe/Paris\nplace: {lat: 45.75772, lon: 4.83202}\nbearing: 20\n"
UUID = "f7826da6-4fa2-4e98-8024-bc5b71e0893e"


def collection(*features: dict[str, Any], **top: Any) -> str:
    return json.dumps({"type": "FeatureCollection", **top, "features": features}, indent=1)


def feature(geometry: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": {"type": geometry, "coordinates": coordinates}}


def box(x1: float, y1: float, x2: float, y2: float) -> list[list[list[float]]]:
    return [[[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]]]


def read(site: str = LYON, zones: str = "", **others: str) -> tuple[Site, list[Diagnostic]]:
    texts = {"site.yaml": site, "zones.geojson": zones or collection(frame="local")}
    texts |= {f"{name}.yaml": text for name, text in others.items()}
    found, diagnostics = parse_site({name: parse(text, name) for name, text in texts.items()}, Claims())
    assert found is not None
    return found, diagnostics


def zone_of(zones: str, site: str = LYON) -> Zone:
    found, diagnostics = read(site, zones)
    assert [d.render() for d in diagnostics if d.code != "W303"] == []
    return found.zones[0]


# Everything that ships.


@pytest.mark.parametrize(
    "folder", [CONFIG, CONFIG / "examples" / "danis", CONFIG / "examples" / "sal-rb"], ids=lambda f: f.name
)
def test_what_ships_is_right(folder: Path) -> None:
    assert [d.render() for d in load_sites(folder).diagnostics] == []


def test_the_example_shop() -> None:
    loaded = load_sites(CONFIG)
    (site,) = loaded.sites
    assert (site.id, site.timezone, site.country) == ("demo-store", "Europe/Paris", "FR")
    assert {z.id for z in site.zones} == {
        "entrance", "coffee-aisle", "bakery", "shoe-fitting", "tills", "collect-desk", "car-park",
    }  # fmt: skip
    assert [(z.id, z.frame, z.radius) for z in site.zones if z.outdoor] == [("car-park", "wgs84", 120.0)]
    gateways = [a for a in site.anchors if a.kind == "gateway"]
    assert len(gateways) == 10
    for anchor in site.anchors:
        assert anchor.zone is not None
        assert site.zone(anchor.zone).outline.covers(shapely.Point(anchor.x, anchor.y)), anchor.id
    people = loaded.people
    assert len(people.shoppers) == 12
    assert sorted(s.id for s in people.shoppers if not s.consents["in-store-offers"]) == ["farid", "jonas"]
    assert {d.shopper for d in people.devices if d.kind == "ibeacon"} == {s.id for s in people.shoppers}
    assert sum(d.kind == "owntracks" for d in people.devices) >= 4
    assert sum(d.kind == "traccar" for d in people.devices) == 1
    assert all(d.password for d in people.devices if d.kind in ("owntracks", "traccar"))
    assert {language for s in people.shoppers for language in s.languages} >= {"fr", "en"}
    wanted = {"first_name", "visits_30d", "loyalty_tier", "wishlist", "bought_90d", "birthday_today"}
    assert all(set(s.attributes) == wanted for s in people.shoppers)


def test_the_recordings_sites_are_where_the_receivers_were() -> None:
    from proximity.recordings import SAL_RB_DEVICE

    data = HERE.parents[1] / "shared" / "data"
    room, doorway = load_sites(CONFIG / "examples" / "danis"), load_sites(CONFIG / "examples" / "sal-rb")
    assert [d.id for d in room.people.devices] == ["mac:e7:8f:13:56:24:ce"]
    assert [d.id for d in doorway.people.devices] == [SAL_RB_DEVICE]
    assert all(s.consents == {"in-store-offers": True} for s in (*room.people.shoppers, *doorway.people.shoppers))
    if not data.is_dir():
        pytest.skip("the recordings are not here (../shared/data), so receiver positions are not compared")
    text = (data / "danis_ble_rpi" / "tetam.dev").read_text().splitlines()[0]
    placed = {alias: tuple(xyz) for xyz, _, alias in json.loads(text.partition(":")[2]).values()}
    assert {a.id: (a.x, a.y, a.z) for a in room.sites[0].anchors} == placed
    rows = (data / "sal_rb_doorway" / "measurement_config.txt").read_text().splitlines()[1:]
    cells = [row.split(",") for row in rows if row]
    placed = {c[0].lower(): (float(c[2]), float(c[3]), float(c[4])) for c in cells}
    assert {a.id: (a.x, a.y, a.z) for a in doorway.sites[0].anchors} == placed
    for anchor in (*room.sites[0].anchors, *doorway.sites[0].anchors):
        site = room.sites[0] if anchor.site == "danis" else doorway.sites[0]
        near = site.zone(anchor.zone or "").outline.buffer(0.01)  # one receiver hangs on the wall itself
        assert near.covers(shapely.Point(anchor.x, anchor.y)), anchor.id


# site.yaml


def test_a_site_with_everything() -> None:
    text = (
        LYON + "country: FR\naddress: 1 place de l'Exemple\nopening_hours: Mo-Su 09:00-19:00; PH off\n"
        "presence: {enter_after: 2s, exit_after: 1m, leave_after: 500ms, exit_margin: 20, hysteresis: 3,\n"
        "  top_speed: 40, gateway_hold: 10 min, fix_exit_after: 0.5h, locator: strongest}\n"
    )
    site, diagnostics = read(text)
    assert diagnostics == []
    assert site == Site(
        "s", "S", "Europe/Paris", "Mo-Su 09:00-19:00; PH off", "FR", "1 place de l'Exemple", 45.75772, 4.83202, 20.0,
        presence=PresenceOptions(2.0, 60.0, 0.5, 20.0, 3.0, 40.0, 600.0, 1800.0, "strongest"),
    )  # fmt: skip


def test_the_least_site() -> None:
    site, diagnostics = read("id: s\nname: S\ntimezone: UTC\n")
    assert diagnostics == []
    assert site == Site("s", "S", "UTC")


def test_feet() -> None:
    zones = collection(
        feature("Polygon", box(0, 0, 10, 10), id="a", exit_margin=30),
        feature("Point", [5, -100], id="b", outdoor=True, radius=50),
        feature("LineString", [[0, 0], [10, 0]], kind="wall"),
        frame="local",
    )
    text = LYON + "units: feet\npresence: {exit_margin: 50, hysteresis: 4}\n"
    site, diagnostics = read(text, zones, gateways="gateways:\n  - {id: g, x: 5, y: 5, z: 8}\n")
    assert diagnostics == []
    assert site.zones[0].outline.bounds == pytest.approx((0, 0, 3.048, 3.048))
    assert site.zones[0].exit_margin == pytest.approx(9.144)
    assert site.zones[1].radius == pytest.approx(15.24)
    assert site.walls == (Wall(0, 0, pytest.approx(3.048), 0),)
    assert (site.anchors[0].x, site.anchors[0].y, site.anchors[0].z) == pytest.approx((1.524, 1.524, 2.4384))
    assert site.presence.exit_margin == pytest.approx(15.24)


# zones.geojson


def test_a_zone_with_everything() -> None:
    zone = zone_of(
        collection(
            feature(
                "Polygon",
                box(0, 0, 4, 4),
                id="a",
                name="Aisle",
                floor=2,
                tags=["food", "coffee"],
                enter_after="3s",
                exit_after="2m",
                exit_margin=7,
                fill="#f00",
                description="drawn by hand",
            ),
            frame="local",
        )
    )
    assert zone == Zone(
        "a", "s", "Aisle", shapely.Polygon(SQUARE), floor=2, tags=frozenset({"food", "coffee"}), enter_after=3.0,
        exit_after=120.0, exit_margin=7.0,
    )  # fmt: skip


SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]


@pytest.mark.parametrize(
    "ring",
    [
        SQUARE,
        SQUARE[::-1],
        SQUARE[:-1],
        [[0, 0], [0, 0], [4, 0], [4, 0], [4, 0], [4, 4], [0, 4], [0, 0], [0, 0]],
        [[*p, 171.5] for p in SQUARE],
    ],
    ids=["counter-clockwise", "clockwise", "not closed", "doubled points", "with heights"],
)
def test_rings_that_are_accepted(ring: list[list[float]]) -> None:
    zone = zone_of(collection(feature("Polygon", [ring], id="a"), frame="local"))
    assert zone.outline.equals(shapely.box(0, 0, 4, 4))


def test_holes_and_parts() -> None:
    hole = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]
    zone = zone_of(collection(feature("Polygon", [SQUARE, hole], id="a"), frame="local"))
    assert zone.outline.area == 15
    zone = zone_of(collection(feature("MultiPolygon", [[SQUARE, hole], box(6, 0, 8, 1)], id="a"), frame="local"))
    assert zone.outline.area == 17


def test_an_indoor_zone_in_degrees_comes_out_in_metres() -> None:
    corners = [(0, 0), (6, 0), (6, 4), (0, 4), (0, 0)]
    ring = [[float(v) for v in to_degrees(45.75772, 4.83202, 20, x, y)[::-1]] for x, y in corners]
    zone = zone_of(collection(feature("Polygon", [ring], id="a")))
    assert zone.frame == "local"
    assert shapely.get_coordinates(zone.outline) == pytest.approx(
        shapely.get_coordinates(shapely.Polygon(corners)), abs=1e-5
    )


def test_an_outdoor_zone_in_metres_comes_out_in_degrees() -> None:
    zone = zone_of(collection(feature("Polygon", box(0, -50, 40, -10), id="a", outdoor=True), frame="local"))
    assert zone.frame == "wgs84"
    lon, lat = shapely.get_coordinates(zone.outline).T
    x, y = to_local(45.75772, 4.83202, 20, lat, lon)
    assert shapely.hausdorff_distance(shapely.box(0, -50, 40, -10), shapely.Polygon(zip(x, y, strict=True))) < 1e-5


def test_an_outdoor_circle_stays_a_point_with_its_radius() -> None:
    zone = zone_of(collection(feature("Point", [4.833, 45.758], id="a", outdoor=True, radius=120)))
    assert (zone.outline, zone.radius, zone.frame) == (shapely.Point(4.833, 45.758), 120.0, "wgs84")


def test_the_files_own_origin() -> None:
    zones = collection(
        feature("Polygon", box(0, 0, 4, 4), id="a"),
        frame="local",
        origin={"lat": 45.75772, "lon": 4.83202},
        bearing=110,
    )
    turned, diagnostics = read(LYON, zones)  # a quarter clockwise of the site's own frame
    assert [d for d in diagnostics if d.severity == "error"] == []
    assert turned.zones[0].outline.bounds == pytest.approx((0, -4, 4, 0), abs=1e-5)
    bare, diagnostics = read("id: s\nname: S\ntimezone: Europe/Paris\n", zones)
    assert [d for d in diagnostics if d.severity == "error"] == []
    assert (bare.lat, bare.lon, bare.bearing) == (45.75772, 4.83202, 110)
    assert bare.zones[0].outline.bounds == (0, 0, 4, 4)


def test_one_feature_in_another_frame() -> None:
    yard = feature("Point", [4.833, 45.758], id="b", outdoor=True, radius=50) | {"frame": "wgs84"}
    site, diagnostics = read(LYON, collection(feature("Polygon", box(0, 0, 4, 4), id="a"), yard, frame="local"))
    assert [d for d in diagnostics if d.severity == "error"] == []
    assert [z.frame for z in site.zones] == ["local", "wgs84"]
    assert site.zones[1].outline == shapely.Point(4.833, 45.758)


FIJI = "id: s\nname: S\ntimezone: Pacific/Fiji\nplace: {lat: -16.8, lon: 179.9999}\n"
WEST = [[179.999, -16.801], [180, -16.801], [180, -16.799], [179.999, -16.799], [179.999, -16.801]]
EAST = [[-180, -16.801], [-179.999, -16.801], [-179.999, -16.799], [-180, -16.799], [-180, -16.801]]
ACROSS = [[179.999, -16.801], [-179.999, -16.801], [-179.999, -16.799], [179.999, -16.799], [179.999, -16.801]]


@pytest.mark.parametrize(
    ("kind", "coordinates"),
    [("MultiPolygon", [[WEST], [EAST]]), ("Polygon", [ACROSS]), ("Polygon", [ACROSS[::-1]])],
    ids=["split as RFC 7946 asks", "in one piece", "in one piece, clockwise"],
)
def test_the_antimeridian(kind: str, coordinates: Any) -> None:
    outdoor = zone_of(collection(feature(kind, coordinates, id="a", outdoor=True)), FIJI)
    assert outdoor.outline.geom_type == "MultiPolygon"
    assert outdoor.outline.area == pytest.approx(0.002 * 0.002)
    assert outdoor.outline.covers(shapely.Point(179.9995, -16.8))
    assert outdoor.outline.covers(shapely.Point(-179.9995, -16.8))
    assert not outdoor.outline.covers(shapely.Point(0, -16.8))
    indoor = zone_of(collection(feature(kind, coordinates, id="a")), FIJI)
    assert indoor.outline.geom_type == "Polygon"
    moved = json.loads(json.dumps([[WEST], [EAST]]))
    greenwich = [
        [[[lon - 179.9999 if lon > 0 else lon + 180.0001, lat] for lon, lat in ring] for ring in p] for p in moved
    ]
    same = zone_of(collection(feature("MultiPolygon", greenwich, id="a")), FIJI.replace("179.9999", "0.0"))
    assert indoor.outline.symmetric_difference(same.outline).area < 0.1  # m²: a long edge bows by a third of a mm


def test_walls() -> None:
    wall = feature("LineString", [[0, 0], [5, 0], [5, 0], [5, 3]], kind="wall", loss=12, floor=1, name="brick")
    site, diagnostics = read(LYON, collection(wall, frame="local"))
    assert diagnostics == []
    assert site.walls == (Wall(0, 0, 5, 0, 12, 1), Wall(5, 0, 5, 3, 12, 1))


# gateways.yaml and beacons.yaml

NESTED = collection(
    feature("Polygon", box(0, 0, 10, 10), id="hall"),
    feature("Polygon", box(0, 0, 3, 3), id="shelf"),
    feature("Polygon", box(0, 0, 3, 3), id="attic", floor=1),
    feature("Point", [5, 5], id="yard", outdoor=True, radius=100),
    frame="local",
)


def test_anchors() -> None:
    lat, lon = to_degrees(45.75772, 4.83202, 20, 8.0, 8.0)
    gateways = f"""gateways:
  - {{id: a, x: 1, y: 1, z: 3, offset: -2.5}}
  - {{id: b, lat: {float(lat):.9f}, lon: {float(lon):.9f}}}
  - {{id: c, zone: attic}}
  - {{id: d, x: 50, y: 50}}
  - {{id: 7, x: 1, y: 1, floor: 1, name: upstairs}}
"""
    beacons = f"shelf:\n  - {{id: e, zone: shelf, ibeacon: {{uuid: {UUID.upper()}, major: 2, minor: 1}}}}\n"
    site, diagnostics = read(LYON, NESTED, gateways=gateways, beacons=beacons)
    assert diagnostics == []
    assert site.anchors == (
        Anchor("a", "s", "gateway", "shelf", 1.0, 1.0, 3.0, offset=-2.5),
        Anchor("b", "s", "gateway", "hall", 8.0, 8.0),
        Anchor("c", "s", "gateway", "attic", floor=1),
        Anchor("d", "s", "gateway", None, 50.0, 50.0),
        Anchor("7", "s", "gateway", "attic", 1.0, 1.0, floor=1),
        Anchor("e", "s", "beacon", "shelf", beacon=f"ibeacon:{UUID}:2:1"),
    )


# shoppers.yaml and tags


def people_of(shoppers: str, beacons: str = "", files: dict[str, str] | None = None) -> tuple[Any, list[str]]:
    def read_file(path: str) -> str | None:
        return (files or {}).get(path)

    found, diagnostics = parse_people(
        [(parse(shoppers, "shoppers.yaml"), read_file)], [(parse(beacons, "beacons.yaml"), read_file)], Claims()
    )
    return found, [d.render() for d in diagnostics]


def test_people_and_everything_they_can_carry() -> None:
    people, wrong = people_of(
        f"""uuid: {UUID}
shoppers:
  - id: ada
    name: Ada
    languages: [fr, pt-BR]
    timezone: Europe/Paris
    attributes: {{first_name: Ada, visits_30d: 5, wishlist: [coffee], bought_90d: {{coffee: 2}}, birthday_today: false}}
    consents: {{in-store-offers: true, statistics: false}}
    devices:
      - ibeacon: {{major: 1, minor: 7}}
      - eddystone: {{namespace: EDD1EBEAC04E5DEFA017, instance: 000000000001}}
      - altbeacon: {"ab" * 20}
      - mac: AABBCCDDEEFF
      - irk: 7AI0o1fIrQU0EBCmCjl9mw==
"""
        + """      - eid: {key: 0102030405060708090A111213141516, rotation: 10, started: "2025-11-24T16:00:00Z"}
      - owntracks: {user: Ada, device: phone, password_file: ada.txt, key: s3cret}
      - traccar: 123456
      - traccar: {id: watch, password: pw}
  - id: ben
""",
        f"tags:\n  - {{shopper: ben, ibeacon: {{uuid: {UUID}, major: 1, minor: 8}}}}\n",
        {"ada.txt": "from-a-file\n"},
    )
    assert wrong == []
    assert people.shoppers == (
        Shopper(
            "ada",
            ("fr", "pt-BR"),
            "Europe/Paris",
            "Ada",
            {
                "first_name": "Ada",
                "visits_30d": 5,
                "wishlist": ["coffee"],
                "bought_90d": {"coffee": 2},
                "birthday_today": False,
            },
            {"in-store-offers": True, "statistics": False},
        ),
        Shopper("ben"),
    )
    irk = "ec0234a357c8ad05341010a60a397d9b"
    eid = next(d for d in people.devices if d.kind == "eid")
    assert [d for d in people.devices if d is not eid] == [
        Device(f"ibeacon:{UUID}:1:7", "ada", "ibeacon"),
        Device("eddystone:edd1ebeac04e5defa017:000000000001", "ada", "eddystone"),
        Device(f"altbeacon:{'ab' * 20}", "ada", "altbeacon"),
        Device("mac:aa:bb:cc:dd:ee:ff", "ada", "mac"),
        Device(f"irk:{irk}", "ada", "irk", irk),
        Device("owntracks:ada/phone", "ada", "owntracks", "s3cret", "from-a-file"),
        Device("traccar:123456", "ada", "traccar"),
        Device("traccar:watch", "ada", "traccar", None, "pw"),
        Device(f"ibeacon:{UUID}:1:8", "ben", "ibeacon"),
    ]
    shown = ephemeral_id(bytes.fromhex("0102030405060708090A111213141516"), 10, 5000)
    directory = Directory(people.devices)
    assert directory.resolve(f"eid:{shown}", 1764000000.0 + 5000) is eid
    assert directory.resolve("mac:70:81:94:0d:fb:aa", 0.0) == Device(f"irk:{irk}", "ada", "irk", irk)


# Directories


def shop(folder: Path, site: str, **changes: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.yaml").write_text(LYON.replace("id: s", f"id: {site}"))
    (folder / "zones.geojson").write_text(collection(frame="local"))
    for name, text in changes.items():
        (folder / f"{name}.yaml").write_text(text)


def lines(loaded: LoadedSites) -> list[str]:
    return [d.render().splitlines()[0] for d in loaded.diagnostics]


def test_several_shops_share_people(tmp_path: Path) -> None:
    tag = "tags:\n  - {shopper: %s, mac: aa:bb:cc:dd:ee:0%d}\n"
    shop(tmp_path / "sites" / "lyon", "lyon", beacons=tag % ("ada", 1))
    shop(tmp_path / "sites" / "paris", "paris", beacons=tag % ("ben", 2), shoppers="shoppers:\n  - id: ben\n")
    (tmp_path / "shoppers.yaml").write_text("shoppers:\n  - id: ada\n")
    loaded = load_sites(tmp_path)
    assert lines(loaded) == []
    assert loaded.ok
    assert [s.id for s in loaded.sites] == ["lyon", "paris"]
    assert [s.id for s in loaded.people.shoppers] == ["ada", "ben"]
    assert [d.shopper for d in loaded.people.devices] == ["ada", "ben"]


def test_ids_are_unique_over_shops_and_files(tmp_path: Path) -> None:
    shop(tmp_path / "sites" / "lyon", "lyon", shoppers="shoppers:\n  - {id: ada, devices: [mac: aa:bb:cc:dd:ee:01]}\n")
    shop(tmp_path / "sites" / "paris", "lyon", shoppers="shoppers:\n  - {id: ada, devices: [mac: aa:bb:cc:dd:ee:01]}\n")
    loaded = load_sites(tmp_path)
    assert not loaded.ok
    assert lines(loaded) == [
        'sites/paris/shoppers.yaml:2:10: error[E307]: shopper "ada" is there twice',
        'sites/paris/shoppers.yaml:2:25: error[E321]: shopper "ada": mac:aa:bb:cc:dd:ee:01 is somebody\'s already',
        'sites/paris/site.yaml:1:5: error[E301]: the directory is called "paris", but the site "lyon"',
        'sites/paris/site.yaml:1:5: error[E307]: site "lyon" is there twice',
    ]


def test_a_shop_beside_shops(tmp_path: Path) -> None:
    shop(tmp_path, "lyon")
    shop(tmp_path / "sites" / "paris", "paris")
    message = "there is a shop in this directory, and there are shops in sites/; only one of both can be"
    assert lines(load_sites(tmp_path)) == [f"site.yaml:1:1: error[E300]: {message}"]


def test_files_that_are_missing_or_misnamed(tmp_path: Path) -> None:
    assert lines(load_sites(tmp_path / "nowhere")) == [f"{tmp_path / 'nowhere'}:1:1: error[E300]: no such directory"]
    assert [d.render() for d in load_sites(tmp_path).diagnostics] == [
        "site.yaml:1:1: error[E300]: no such file\n      it says what the store is called and where it is",
        "zones.geojson:1:1: error[E300]: no such file\n      it draws the zones",
    ]
    shop(tmp_path, "lyon", gateway="gateways: []\n", shopper="shoppers: []\n", attributes="{}", theme="{}")
    (tmp_path / "zones.geojson").rename(tmp_path / "zones.json")
    assert [d.render() for d in load_sites(tmp_path).diagnostics] == [
        "gateway.yaml:1:1: error[E300]: nobody reads a file of this name\n      call it gateways.yaml",
        "shopper.yaml:1:1: error[E300]: nobody reads a file of this name\n      call it shoppers.yaml",
        "zones.json:1:1: error[E300]: nobody reads a file of this name\n      call it zones.geojson",
    ]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    shop(tmp_path, "lyon")
    (tmp_path / "gateways.yaml").write_bytes(b"gateways: \xff\n")
    assert lines(load_sites(tmp_path)) == ["gateways.yaml:1:1: error[E000]: not UTF-8 at byte 10; save it as UTF-8"]


def test_secrets_are_read_beside_the_file(tmp_path: Path) -> None:
    text = "shoppers:\n  - {id: ada, devices: [owntracks: {user: ada, device: phone, key_file: keys/ada}]}\n"
    shop(tmp_path / "sites" / "lyon", "lyon", shoppers=text)
    (tmp_path / "sites" / "lyon" / "keys").mkdir()
    (tmp_path / "sites" / "lyon" / "keys" / "ada").write_text("s3cret\n")
    loaded = load_sites(tmp_path)
    assert lines(loaded) == []
    assert loaded.people.devices[0].secret == "s3cret"


def test_empty_files_say_nothing(tmp_path: Path) -> None:
    shop(tmp_path, "lyon", gateways="", beacons="# none yet\n", shoppers="shoppers:\n")
    assert lines(load_sites(tmp_path)) == []


def test_a_broken_zone_can_still_be_named(tmp_path: Path) -> None:
    shutil.copytree(GOOD, tmp_path, dirs_exist_ok=True)
    shutil.copy(HERE / "site" / "bad" / "zones-two-points" / "zones.geojson", tmp_path)
    (tmp_path / "gateways.yaml").write_text("gateways:\n  - {id: pi-1, zone: shelf}\n  - {id: pi-2, zone: till}\n")
    loaded = load_sites(tmp_path)
    assert [d.code for d in loaded.diagnostics] == ["E312"]
    assert loaded.sites[0].zone("shelf").outline.is_empty


# Laws

FILES = ("site.yaml", "zones.geojson", "gateways.yaml", "beacons.yaml", "shoppers.yaml")
TEXTS = {name: (GOOD / name).read_text() for name in FILES}
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["shelf", "ada", "zone"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "type", "x", "lat"]) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=10,
)


def survive(texts: dict[str, str]) -> None:
    claims = Claims()
    files = {name: parse(text, name) for name, text in texts.items()}
    _, found = parse_site(files, claims)
    _, more = parse_people(
        [(files["shoppers.yaml"], lambda path: None)], [(files["beacons.yaml"], lambda path: None)], claims
    )
    for diagnostic in found + more:
        assert diagnostic.render().startswith(tuple(FILES))


@given(st.sampled_from(FILES), st.text(max_size=80))
def test_any_text_gives_diagnostics(name: str, text: str) -> None:
    survive(TEXTS | {name: text})


def places_of(data: Any, loc: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a file's data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [loc, *(place for key, value in items for place in places_of(value, (*loc, key)))]


@given(st.sampled_from(FILES), st.data())
def test_any_part_replaced_by_anything_gives_diagnostics(name: str, data: st.DataObject) -> None:
    document = parse(TEXTS[name], name)
    places = sorted((loc for loc in places_of(document.data) if loc), key=repr)
    loc = data.draw(st.sampled_from(places))
    changed = parse(TEXTS[name], name).data
    part = changed
    for key in loc[:-1]:
        part = part[key]
    part[loc[-1]] = data.draw(values)
    survive(TEXTS | {name: json.dumps(changed)})


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=0, max_size=7), st.booleans())
def test_every_ring_is_valid_or_refused(points: list[tuple[int, int]], local: bool) -> None:
    zones = collection(
        feature("Polygon", [[list(p) for p in points]], id="a", outdoor=not local), frame="local" if local else "wgs84"
    )
    site, diagnostics = read(LYON.replace("45.75772", "0.5").replace("4.83202", "0.5"), zones)
    outline = site.zones[0].outline
    if any(d.severity == "error" for d in diagnostics):
        assert outline.is_empty
    else:
        assert outline.is_valid
        assert outline.area > 0
