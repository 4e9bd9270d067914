"""Our transformer against logits that the reference implementation computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from diffufix.model import load_model

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def golden():
    with np.load(DATA / "golden.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file}


@pytest.mark.parametrize("case", [0, 1, 2])
def test_logits_match_the_reference(golden, case):
    model = load_model(DATA, device="cpu")
    ids, keep = golden[f"input_ids_{case}"], golden[f"attention_mask_{case}"]
    masks = golden[f"logits_{case}"].shape[1] - ids.shape[1]
    ids = torch.cat([ids, torch.full((len(ids), masks), model.family.mask)], dim=1)
    keep = torch.cat([keep, torch.ones(len(keep), masks, dtype=keep.dtype)], dim=1)
    logits = model(ids, keep)
    assert logits.isfinite().all()
    there = keep.bool()
    assert (logits - golden[f"logits_{case}"])[there].abs().max() < 1e-4


def test_shift_is_the_family_s(golden):
    """Read one row to the left the reference's first commit appears; read in place it does not."""
    model = load_model(DATA, device="cpu")
    assert model.family.shift
    logits, prompt = golden["logits_0"], golden["input_ids_0"].shape[1]
    history = golden["history_entropy_16_0"].long()
    first = next(canvas for canvas in history if (canvas[:, prompt:] != model.family.mask).any())
    in_place = []
    for row, canvas in enumerate(first):
        committed = (canvas != model.family.mask).nonzero().flatten()[prompt:].tolist()
        assert committed
        for position in committed:
            assert logits[row, position - 1].argmax() == canvas[position]
            in_place.append(bool(logits[row, position].argmax() == canvas[position]))
    assert not all(in_place)
