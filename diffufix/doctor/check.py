"""One thing that was looked at: `HealthCheck`, and `tried`, which makes a failure one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from diffufix.errors import DiffufixError


class Health(StrEnum):
    """How it stands. Only ERROR keeps diffufix from repairing here."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class HealthCheck:
    """What was found, and what to do about it; `data` are figures for `--json`."""

    name: str
    state: Health
    found: str
    remedy: str = ""
    seconds: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name, "status": str(self.state), "found": self.found,
            "remedy": self.remedy, "seconds": round(self.seconds, 3), "data": dict(self.data),
        }  # fmt: skip


def tried(name: str, look: Callable[[], HealthCheck], failed: Health = Health.ERROR) -> HealthCheck:
    """What `look` finds; what it raises is a check that failed."""
    began = time.monotonic()
    try:
        check = look()
    except DiffufixError as error:
        check = HealthCheck(name, failed, _first(error.message), error.hint)
    except Exception as error:
        check = HealthCheck(name, failed, f"{type(error).__name__}: {_first(str(error))}")
    return replace(check, seconds=time.monotonic() - began)


def _first(text: str) -> str:
    return next(iter(text.strip().splitlines()), "no reason was given")
