"""Where the fault may be: functions ranked by coverage and tracebacks of failing tests."""

from diffufix.localize.groups import groups
from diffufix.localize.suspects import suspects

__all__ = ["groups", "suspects"]
