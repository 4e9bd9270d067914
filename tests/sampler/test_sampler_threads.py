"""How the threads of torch wait, seen from a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENTRIES = ("repair.loop", "generate.job", "sampler.aside", "model.checkpoint", "train.trainer")


def said(module: str, **extra: str) -> str:
    """What OpenMP tells of its settings when it is brought in."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    env |= {"OMP_DISPLAY_ENV": "VERBOSE"} | extra
    program = f"import {module}, sys; assert 'torch' in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch's OpenMP is not GNU's")
    return done.stderr


@pytest.mark.parametrize("module", ENTRIES)
def test_threads_soon_sleep_whatever_brings_torch_in(module: str) -> None:
    assert "GOMP_SPINCOUNT = '3000'" in said(f"diffufix.{module}")


def test_what_the_user_set_stays() -> None:
    assert "GOMP_SPINCOUNT = '70'" in said("diffufix.model.checkpoint", GOMP_SPINCOUNT="70")
    active = said("diffufix.model.checkpoint", OMP_WAIT_POLICY="ACTIVE")
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in active
    assert "GOMP_SPINCOUNT = '3000'" not in active
