"""How the model's threads wait, seen from a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, sys
from diffufix.model import load_model
there = [name in sys.modules for name in ("torch", "diffufix.model.idle")]
print(there[0], os.environ.get("OMP_WAIT_POLICY"), there[1])
"""


def printed(**extra: str) -> list[str]:
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env | extra, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_way_threads_wait_is_set_for_torch_alone() -> None:
    assert printed() == ["True", "None", "True"]


def test_what_the_user_set_stays() -> None:
    assert printed(OMP_WAIT_POLICY="ACTIVE") == ["True", "ACTIVE", "True"]
