"""The documents name what the tree holds: commands, options, settings, files."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway import cli as gateway_cli
from proximity.cli import app
from proximity.commands.mount import mount
from proximity.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CODE = re.compile(r"`([^`\n]+)`|^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pieces(page: Path) -> list[str]:
    """Everything in code type: inline pieces and the lines of blocks."""
    found: list[str] = []
    for inline, block in CODE.findall(page.read_text(encoding="utf-8")):
        found += [inline] if inline else block.splitlines()
    return found


def commands(name: str) -> list[tuple[str, list[str]]]:
    """(page, words after the program) wherever a page calls `name`."""
    found = []
    for page in PAGES:
        for piece in pieces(page):
            match = re.match(rf"^(?:sudo )?(?:\S*/bin/)?{name} (.+)$", piece.strip())
            if match:
                words = shlex.split(match[1].split("  #")[0], comments=True)
                found.append((page.name, [word for word in words if word != "…"]))
    return found


@pytest.fixture(scope="module")
def root() -> Any:
    """The group of all commands; typer brings a click of its own, so it is known by what it can do."""
    mount(app)
    return typer.main.get_command(app)


def test_every_command_of_the_service_and_its_options_exist(root: Any) -> None:
    named = commands("proximity")
    assert len(named) > 8
    for page, words in named:
        command = root
        for word in words:
            if hasattr(command, "commands") and not word.startswith("-"):
                assert word in command.commands, f"{page}: `proximity {shlex.join(words)}`: there is no {word}"
                command = command.commands[word]
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0] in options | {"--help", "--version"}, f"{page}: {word} in {shlex.join(words)}"


def test_every_command_of_the_service_is_in_the_readme(root: Any) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in root.commands:
        assert f"`proximity {name}" in text, f"README.md does not name `proximity {name}`"


def test_every_command_of_the_gateway_and_its_options_exist() -> None:
    named = commands("proximity-gateway")
    assert len(named) > 3
    parser = gateway_cli.parser()
    known = {option for action in subparsers(parser).values() for a in action._actions for option in a.option_strings}
    for page, words in named:
        assert words[0] in subparsers(parser) or words[0] in {"--version", "--help"}, f"{page}: {words}"
        for word in words:
            if word.startswith("--"):
                assert word in known | {"--version", "--help"}, f"{page}: {word}"


def subparsers(parser):  # type: ignore[no-untyped-def]
    return next(a.choices for a in parser._actions if a.choices and hasattr(next(iter(a.choices.values())), "_actions"))


def test_every_setting_is_in_the_readme_and_every_one_there_exists() -> None:
    settings = {f"PROXIMITY_{name.upper()}" for name in Settings.model_fields}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"PROXIMITY_[A-Z_]+", text))
    assert named == settings


LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


NAMED_FILE = re.compile(
    r"^(?!proximity/v1/)(?:proximity|gateway|rules|config|docs|tests|scripts)/[\w./-]*$"
)  # not topics


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_tree_that_is_named_exists(page: Path) -> None:
    for piece in pieces(page):
        if NAMED_FILE.match(piece):
            assert (ROOT / piece).exists(), f"{page.name}: {piece}"
