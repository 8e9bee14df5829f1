"""The error tree. Whoever catches `ProximityError` has caught everything this project raises on purpose."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proximity.document import Diagnostic


class ProximityError(Exception):
    """The base. Its text is for the person at the keyboard: what is wrong, and what to do."""


class ConfigurationError(ProximityError):
    """Files that may not start. Carries every diagnostic of every file."""

    def __init__(self, diagnostics: "Sequence[Diagnostic]") -> None:
        self.diagnostics = list(diagnostics)
        errors = sum(1 for d in self.diagnostics if d.severity == "error")
        super().__init__(f"{errors} error{'' if errors == 1 else 's'} in the configuration")


class BadMessage(ProximityError):
    """Input from the network that is counted, named and dropped. `reason` is a short slug for a counter label."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class BrokerError(ProximityError):
    """The broker cannot be started or reached."""


class DeliveryError(ProximityError):
    """One attempt to deliver failed. `retry` says whether another attempt may help."""

    def __init__(self, detail: str, *, retry: bool) -> None:
        self.retry = retry
        super().__init__(detail)
