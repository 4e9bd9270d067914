"""Loads torch so that its idle threads sleep instead of spinning. Touches nothing else.

OpenMP's threads usually wait for the next piece of work in a busy loop. Where another process
wants the cores (tests that are run, above all), a model on two cores then becomes slower by orders
of magnitude. The library reads the setting once, when torch brings it in; nothing of it stays in
the environment, which programs started from here inherit.
"""

from __future__ import annotations

import os

_KEY = "OMP_WAIT_POLICY"
_given = os.environ.get(_KEY)
os.environ.setdefault(_KEY, "PASSIVE")
try:
    import torch  # noqa: F401
finally:
    if _given is None:
        del os.environ[_KEY]
