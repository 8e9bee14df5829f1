"""What a benchmark measured, with the limit measured in the same run beside it; as a table and as JSON."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `limit` has the same unit: what the machine did in the same run with nothing of ours around it."""

    what: str
    value: float
    unit: str
    limit: float | None = None
    limit_is: str = ""  # what was measured as the limit
    note: str = ""

    @property
    def share(self) -> float | None:
        """Of the limit; None without one."""
        return None if not self.limit else self.value / self.limit


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark."""

    name: str
    about: str
    rows: Sequence[Row]
    settings: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the date and the machine."""
        return {
            "bench": self.name,
            "settings": self.settings,
            "machine": machine(),
            "date": datetime.now(UTC).date().isoformat(),
            "rows": [
                {
                    "what": row.what,
                    "value": _rounded(row.value),
                    "unit": row.unit,
                    "limit": None if row.limit is None else _rounded(row.limit),
                    "limit_is": row.limit_is or None,
                    "share": None if row.share is None else round(row.share, 3),
                    "note": row.note or None,
                }
                for row in self.rows
            ],
        }

    def show(self, console: Console) -> None:
        """The table, and under it what the limits are."""
        table = Table(title=f"{self.name}: {self.about}", title_justify="left", box=SIMPLE_HEAD)
        for heading in ("what", "measured", "unit", "limit", "share"):
            table.add_column(heading, justify="left" if heading in ("what", "unit") else "right")
        for row in self.rows:
            share = NOTHING if row.share is None else f"{row.share:.0%}"
            limit = NOTHING if row.limit is None else number(row.limit)
            table.add_row(row.what, number(row.value), row.unit, limit, share)
        console.print(table)
        for line in dict.fromkeys(
            text for row in self.rows for text in (row.limit_is and f"limit: {row.limit_is}", row.note) if text
        ):
            console.print(f"  {line}", style="dim", highlight=False)
        console.print(f"  {machine()}", style="dim", highlight=False)


def machine() -> str:
    """Cores, processor, Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"


def number(value: float) -> str:
    """With thousands apart, and no more digits than mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _rounded(value: float) -> float:
    return round(value) if abs(value) >= 100 else float(f"{value:.3g}")
