"""Every family against its own reference code: tiny checkpoints in published layouts, logits and
greedy completions. make_families.py says whose code, at which commit, and wrote the numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from diffufix.decode import diffusion_generate, infill
from diffufix.errors import CheckpointError
from diffufix.model import LoadedModel, load_model
from diffufix.types import Canvas

DATA = Path(__file__).parent / "families"
#: Family -> (name, shift, chat of a checkpoint whose tokenizer has no chat template).
FAMILIES = {
    "dream": ("dream", True),
    "open-dcoder": ("open-dcoder", True),
    "a2d-qwen2": ("a2d-qwen2", False),
    "a2d-qwen3": ("a2d-qwen3", False),
    "coda": ("coda", True),
    "llada": ("llada", False),
}
SHIFTED = [name for name, (_, shift) in FAMILIES.items() if shift]
NEW, MASK = 12, 260


@cache
def golden(name: str) -> dict[str, torch.Tensor]:
    with np.load(DATA / name / "golden.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file}


@cache
def loaded(name: str, dtype: str = "float32") -> LoadedModel:
    return load_model(DATA / name, device="cpu", dtype=dtype)


def canvas(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    known = golden(name)
    pad = torch.nn.functional.pad
    return (
        pad(known["input_ids"], (0, NEW), value=MASK),
        pad(known["attention_mask"], (0, NEW), value=1),
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_recognised_by_itself(name):
    family = loaded(name).family
    assert (family.name, family.shift) == FAMILIES[name]
    assert (family.mask, family.eos, family.chat) == (MASK, 256, "none")
    assert loaded(name).tokenizer.id("<|endoftext|>") == 256


@pytest.mark.parametrize("name", FAMILIES)
def test_logits(name):
    """Padding included, where the reference knows it."""
    ids, keep = canvas(name)
    with torch.inference_mode():
        found = loaded(name)(ids, keep)
    expected = golden(name)["logits_float32"]
    real = keep.bool()
    torch.testing.assert_close(found[real], expected[real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_in_bfloat16(name):
    """To the rounding of bfloat16, which processors and kinds of attention do in their own ways."""
    ids, keep = canvas(name)
    with torch.inference_mode():
        found = loaded(name, "bfloat16")(ids, keep).float()
    real = keep.bool()
    expected, exact = (golden(name)[f"logits_{kind}"][real] for kind in ("bfloat16", "float32"))
    away, rounding = (found[real] - expected).abs().mean(), (expected - exact).abs().mean()
    assert away <= 1.5 * rounding


@pytest.mark.parametrize("name", SHIFTED)
def test_generations(name):
    """Canvas by canvas, by the sampler that these families share."""
    known = golden(name)
    ids = known.get("plain_ids", known["input_ids"])
    keep = None if "plain_ids" in known else known["attention_mask"]
    cases = [key for key in known if key.endswith("_float32") and not key.startswith("logits")]
    assert len(cases) >= 2
    for case in cases:
        alg, steps, _ = case.rsplit("_", 2)
        made = diffusion_generate(
            unbanned(name), ids, keep, max_new_tokens=NEW, steps=int(steps), alg=alg,
            output_history=True,
        )  # fmt: skip
        assert made.history is not None
        assert torch.equal(torch.stack(made.history).short(), known[case]), case


def unbanned(name: str, dtype: str = "float32") -> LoadedModel:
    """Without what we know better than the reference: that some ids have no text."""
    model = loaded(name, dtype)
    model.textless = ()
    return model


def test_generations_in_bfloat16():
    """With confidences in the model's own numbers, as the reference has them; with float32 ones
    the order differs. Ties may fall otherwise on another processor: one of six may."""
    known = golden("dream")
    cases = [key for key in known if key.endswith("_bfloat16") and not key.startswith("logits")]
    same: dict[Literal["model", "float32"], int] = {"model": 0, "float32": 0}
    for case in cases:
        alg, steps, _ = case.rsplit("_", 2)
        for precision in same:
            made = diffusion_generate(
                unbanned("dream", "bfloat16"), known["input_ids"], known["attention_mask"],
                max_new_tokens=NEW, steps=int(steps), alg=alg, precision=precision,
            )  # fmt: skip
            same[precision] += torch.equal(made.sequences.short(), known[case][-1])
    assert len(cases) == 6
    assert same["model"] >= 5
    assert same["model"] > same["float32"]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in SHIFTED])
def test_completions_of_families_without_a_shift(name):
    """Their sampler commits the likeliest id of all masks, one a step: so does `infill`."""
    known = golden(name)
    for row, prompt in enumerate(known["plain_ids"].tolist()):
        model = loaded(name)
        model.banned = (256, MASK)  # what the reference was told to suppress
        (fill,) = infill(
            model, Canvas(tuple(prompt), ()), 1, lengths=[NEW], max_tokens=NEW, temperature=0.0,
            alg="maskgit_plus",
        )  # fmt: skip
        assert list(fill.ids) == known["low_confidence"][-1, row, -NEW:].tolist()
        order = [0] * NEW
        for step, x in enumerate(known["low_confidence"][:, row, -NEW:]):
            order = [o + int(x[i] == MASK) for i, o in enumerate(order)]
            assert step <= NEW
        assert [o + 1 for o in fill.order] == order


@pytest.mark.parametrize("name", FAMILIES)
def test_its_surroundings_can_be_shared(name):
    """The fast way of every shape, q/k norm and the layers' own names included, is exact around
    what was encoded."""
    from diffufix.decode import open_context

    model = loaded(name)
    prompt = golden(name)["input_ids"][1].tolist()
    hole = [(0, (MASK,) * 4)]
    sides = Canvas(tuple(prompt[:5]), tuple(prompt[5:]))
    exact = open_context(model, [sides]).logits(hole)
    shared = open_context(model, [sides], refresh=0)
    shared.logits(hole)
    torch.testing.assert_close(shared.logits(hole), exact, rtol=1e-4, atol=1e-4)


OTHERS = {
    "mamba": "model_type 'mamba' are not supported",
    "sdar_moe": "model_type 'sdar_moe' are not supported",
    "": "are not supported",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_refused_with_what_is_known(tmp_path, kind):
    import json
    import shutil

    folder = Path(shutil.copytree(DATA / "dream", tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    with pytest.raises(CheckpointError, match=OTHERS[kind]) as caught:
        load_model(folder, device="cpu")
    for known in ("dream", "open-dcoder", "a2d-qwen2", "coda", "llada"):
        assert known in caught.value.hint


def test_an_autoregressive_qwen_is_told_apart(tmp_path):
    """The same layers and type as Open-dCoder, but no mask token anywhere."""
    import json
    import shutil

    folder = Path(shutil.copytree(DATA / "open-dcoder", tmp_path / "Qwen2.5-Coder-0.5B"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("mask_token")
    settings["added_tokens_decoder"].pop(str(MASK))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["content"] != "<M>"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CheckpointError, match="autoregressive"):
        load_model(folder, device="cpu")
