"""`diffusion_generate` against generations of the reference implementation, canvas by canvas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffufix.decode import diffusion_generate
from diffufix.model import load_model

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "cases.json").read_text())


@pytest.fixture(scope="module")
def model():
    return load_model(DATA, device="cpu")


@pytest.fixture(scope="module")
def golden():
    with np.load(DATA / "golden.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file}


def arguments(case: dict[str, Any]) -> dict[str, Any]:
    names = ("max_new_tokens", "steps", "temperature", "alg", "eps")
    return {name: case[name] for name in names}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['alg']}-{c['steps']}-{c['case']}")
@pytest.mark.parametrize("hooked", [False, True], ids=["plain", "hooks"])
def test_greedy_generations(model, golden, case, hooked):
    number = case["case"]
    hooks: dict[str, Any] = {}
    if hooked:  # hooks see full logits: the other way through the code
        hooks = {
            "generation_tokens_hook_func": lambda step, x, logits: x,
            "generation_logits_hook_func": lambda step, x, logits: logits,
        }
    result = diffusion_generate(
        model,
        golden[f"input_ids_{number}"],
        attention_mask=golden[f"attention_mask_{number}"],
        output_history=True,
        alg_temp=0.0,
        **arguments(case),
        **hooks,
    )
    key = f"{case['alg']}_{case['steps']}_{number}"
    assert torch.equal(result.sequences, golden[f"sequences_{key}"])
    assert result.history is not None
    assert torch.equal(torch.stack(result.history).int(), golden[f"history_{key}"])


@pytest.mark.parametrize("steps", [16, 64])
def test_no_step_is_wasted(model, golden, steps):
    """At most one forward pass a token, however many steps; the result is the same."""
    passes = 0

    def count(*_) -> None:
        nonlocal passes
        passes += 1

    handle = model.model.norm.register_forward_hook(count)
    try:
        arguments = {"max_new_tokens": 16, "steps": steps, "alg": "entropy"}
        lean = diffusion_generate(model, golden["input_ids_0"], **arguments)
        assert passes <= 16
        full = diffusion_generate(
            model,
            golden["input_ids_0"],
            generation_tokens_hook_func=lambda step, x, logits: x,
            **arguments,
        )
    finally:
        handle.remove()
    assert torch.equal(lean.sequences, full.sequences)
