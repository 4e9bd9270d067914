"""The log of runs, holes, fills, candidates and verdicts in a project's `.diffufix/`."""

from diffufix.store.store import Store

__all__ = ["Store"]
