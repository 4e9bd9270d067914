"""Loads torch so that its idle threads soon sleep instead of spinning. Touches nothing else.

OpenMP's threads wait for the next piece of work in a busy loop of milliseconds. Where another
process wants the cores (tests that are run, above all), a model on two cores then becomes slower
by orders of magnitude; where threads sleep at once, it is slower by a third on quiet cores. A
short spin costs neither. The library reads the setting once, when torch brings it in; nothing of
it stays in the environment, which programs started from here inherit.
"""

from __future__ import annotations

import os

_KEY = "GOMP_SPINCOUNT"
_OURS = _KEY not in os.environ and "OMP_WAIT_POLICY" not in os.environ
if _OURS:
    os.environ[_KEY] = "3000"
try:
    import torch  # noqa: F401
finally:
    if _OURS:
        del os.environ[_KEY]
