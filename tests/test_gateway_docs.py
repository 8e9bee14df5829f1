"""What is written about the wire and the gateway is what the code does."""

import configparser
import dataclasses
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
import yaml

from gateway import cli, exits, remedies
from gateway.settings import PREFIX, SETTINGS, GatewaySettings, load
from proximity import wire

ROOT = Path(__file__).parent.parent
ASYNCAPI: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
WIRE = (ROOT / "docs/wire.md").read_text()
TECHNICIAN = (ROOT / "docs/technician.md").read_text()

# Fields of AsyncAPI 3.0.0 objects: (required, allowed). An object may also be a reference.
OBJECTS: dict[str, tuple[set[str], set[str]]] = {
    "root": ({"asyncapi", "info"}, {"id", "servers", "defaultContentType", "channels", "operations", "components"}),
    "info": ({"title", "version"}, {"termsOfService", "contact", "license", "description", "tags", "externalDocs"}),
    "server": ({"host", "protocol"}, {"protocolVersion", "pathname", "description", "title", "summary", "variables",
               "security", "tags", "externalDocs", "bindings"}),
    "channel": (set(), {"address", "messages", "title", "summary", "description", "servers", "parameters", "tags",
                "externalDocs", "bindings"}),
    "parameter": (set(), {"enum", "default", "description", "examples", "location"}),
    "message": (set(), {"headers", "payload", "correlationId", "contentType", "name", "title", "summary", "description",
                "tags", "externalDocs", "bindings", "examples", "traits"}),
    "operation": ({"action", "channel"}, {"title", "summary", "description", "security", "tags", "externalDocs",
                  "bindings", "traits", "messages", "reply"}),
}  # fmt: skip


def resolve(reference: str) -> Any:
    """What a local reference names. KeyError when it names nothing."""
    assert reference.startswith("#/")
    found: Any = ASYNCAPI
    for word in reference[2:].split("/"):
        found = found[word]
    return found


def follow(node: Any) -> Any:
    return follow(resolve(node["$ref"])) if isinstance(node, dict) and "$ref" in node else node


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [r for value in node.values() for r in references(value)]
    return [r for value in node for r in references(value)] if isinstance(node, list) else []


def has_shape(kind: str, node: dict[str, Any]) -> None:
    required, allowed = OBJECTS[kind]
    assert required <= node.keys(), f"{kind}: {required - node.keys()} missing"
    assert node.keys() <= required | allowed, f"{kind}: {node.keys() - required - allowed} unknown"


def test_it_is_asyncapi_3() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    has_shape("root", ASYNCAPI)
    has_shape("info", ASYNCAPI["info"])
    assert all(resolve(reference) is not None for reference in references(ASYNCAPI))
    assert ASYNCAPI["components"].keys() <= {"schemas", "messages", "parameters"}
    for kind, nodes in (
        ("server", ASYNCAPI["servers"]), ("channel", ASYNCAPI["channels"]), ("operation", ASYNCAPI["operations"]),
        ("message", ASYNCAPI["components"]["messages"]), ("parameter", ASYNCAPI["components"]["parameters"]),
    ):  # fmt: skip
        for node in nodes.values():
            has_shape(kind, node)
    for channel in ASYNCAPI["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == channel["parameters"].keys()
        assert all(follow(message)["payload"] for message in channel["messages"].values())


def test_every_channel_has_one_operation_in_the_right_direction() -> None:
    up = {*get_args(wire.Up), "context", "events"}
    seen, retained = [], set()
    for name, operation in ASYNCAPI["operations"].items():
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        assert operation["action"] == ("receive" if channel in up else "send")
        assert name == operation["action"] + channel.capitalize()
        assert operation["bindings"]["mqtt"]["qos"] == 1
        seen.append(channel)
        retained |= {channel} if operation["bindings"]["mqtt"]["retain"] else set()
    assert sorted(seen) == sorted(ASYNCAPI["channels"])
    retained = {
        c for c, o in zip(seen, ASYNCAPI["operations"].values(), strict=True) if o["bindings"]["mqtt"]["retain"]
    }
    assert retained == {"status", "acked", "config"}


# Topics that are no gateway's.
ELSEWHERE = {
    "offers": wire.offers_topic("{shopper}"),
    "desks": wire.desk_topic("{site}", "{desk}"),
    "context": wire.context_topic("{site}"),
    "events": wire.events_topic("{site}"),
}


def test_every_topic_and_message_of_the_code() -> None:
    assert ASYNCAPI["channels"].keys() == wire.MESSAGES.keys()
    assert set(get_args(wire.Up)) | set(get_args(wire.Down)) | ELSEWHERE.keys() == wire.MESSAGES.keys()
    for kind, message in wire.MESSAGES.items():
        channel = ASYNCAPI["channels"][kind]
        address = ELSEWHERE.get(kind, f"{wire.PREFIX}/{{site}}/{{gateway}}/{kind}")
        assert channel["address"] == address
        assert channel["messages"].keys() == {kind}
        payload = follow(channel["messages"][kind])["payload"]
        assert payload == {"$ref": f"#/components/schemas/{message.__name__}"}


def bare(node: Any) -> Any:
    """A schema without its prose, in the words of JSON Schema draft 7, which AsyncAPI 3 speaks."""
    if isinstance(node, list):
        return [bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    is_schema = not isinstance(node.get("title"), dict)  # `properties` may hold a field called title
    kept = {k: v for k, v in node.items() if not (is_schema and k in ("title", "description"))}
    return {"items" if key == "prefixItems" else key: bare(value) for key, value in kept.items()}


def test_every_field_of_the_code() -> None:
    _, made = msgspec.json.schema_components(
        list(wire.MESSAGES.values()), ref_template="#/components/schemas/{name}"
    )  # fmt: skip
    assert bare(ASYNCAPI["components"]["schemas"]) == bare(made)


@pytest.mark.parametrize("kind", wire.MESSAGES)
def test_the_examples_are_messages(kind: str) -> None:
    node = ASYNCAPI["components"]["messages"][kind]
    schema = {**node["payload"], "components": ASYNCAPI["components"]}
    assert node["examples"]
    for example in node["examples"]:
        jsonschema.Draft7Validator(schema).validate(example["payload"])
        message = wire.decode(wire.MESSAGES[kind], msgspec.json.encode(example["payload"]))
        jsonschema.Draft7Validator(schema).validate(msgspec.json.decode(wire.encode(message)))


def test_wire_md_names_every_topic_and_field() -> None:
    for kind, message in wire.MESSAGES.items():
        assert ASYNCAPI["channels"][kind]["address"].replace("{", "<").replace("}", ">") in WIRE
        for field in msgspec.structs.fields(message):
            assert re.search(rf"`{field.name}[`:]|\"{field.name}\"", WIRE), f"{kind}: {field.name}"
    for example in re.findall(r"```json\n(.*?)```", WIRE, re.DOTALL):
        wire.decode(wire.MESSAGES["sightings" if "rows" in example else "acked"], example.encode())


def test_the_technician_is_told_every_setting_and_its_default(tmp_path: Path) -> None:
    named = {s.name for s in SETTINGS}
    assert named == {field.name for field in dataclasses.fields(GatewaySettings)}
    cells = [re.findall(r"`([^`]+)`", line) for line in TECHNICIAN.splitlines() if line.startswith("| `")]
    rows = {row[0]: row for row in cells if row[0] in named}
    assert rows.keys() == named
    assert all(row[1] == "--" + name.replace("_", "-") for name, row in rows.items())
    file = re.search(r"```toml\n(.*?)```", TECHNICIAN, re.DOTALL)
    assert file is not None
    (tmp_path / "gateway.toml").write_text(file[1])
    assert load({}, {}, tmp_path / "gateway.toml").gateway == "coffee-shelf"


def test_the_technician_is_told_nothing_that_is_not_there() -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", cli.parser().format_help()))
    for action in cli.parser()._subparsers._group_actions[0].choices.values():  # type: ignore[union-attr]
        known |= set(re.findall(r"--[a-z][a-z-]+", action.format_help()))
    others = {"--experimental", "--now"}  # of bluetoothd and systemctl
    text = re.sub(r"`proximity [^`]+`", "", TECHNICIAN)  # commands of the service, which have a test of their own
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - others <= known
    assert set(re.findall(rf"{PREFIX}(\w+)", TECHNICIAN)) <= {s.name.upper() for s in SETTINGS}
    for state in get_args(remedies.State):
        assert f"| `{state}` |" in TECHNICIAN
        assert state in ASYNCAPI["components"]["schemas"]["HealthMessage"]["properties"]["adapter"]["description"]


def test_the_unit_file() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "config/systemd/proximity-gateway.service")
    service = unit["Service"]
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/proximity-gateway")
    assert cli.parser().parse_args(arguments).command == "run"
    assert int(service["RestartForceExitStatus"]) == exits.RESTART
    assert service["Restart"] == "on-abnormal"
    assert service["Type"] == "notify"
    assert {"RestartForceExitStatus", "WatchdogSec", "StateDirectory"} <= set(service)
