# mypy: ignore-errors
"""Between two runs of the same tests in one process. Touches `sys` and caches of functools."""

import functools
import gc
import sys

_CACHED = type(functools.lru_cache(print))


def turn(name):
    """From here on the edited code, which looks at this attribute, raises; nothing that it returned
    is kept for the tests to come."""
    setattr(sys, name, True)
    for thing in gc.get_objects():
        if type(thing) is _CACHED:
            thing.cache_clear()
