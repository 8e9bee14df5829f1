"""Where the configurations that ship with the project are: in a checkout beside the package, else inside the wheel."""

from pathlib import Path

from proximity.errors import ProximityError

_PACKAGE = Path(__file__).parent


def example_config(name: str | None = None) -> Path:
    """The example shop, or one of `examples/`. ProximityError when the installation lacks it."""
    for folder in (_PACKAGE / "example_config", _PACKAGE.parent / "config"):
        found = folder / "examples" / name if name else folder
        if (found / "site.yaml").exists():
            return found
    raise ProximityError(f"the example configuration {name or 'shop'!r} is not installed; reinstall proximity")
