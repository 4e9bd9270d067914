"""Block-causal families against their reference code: logits and greedy completions.
make_block_families.py says whose code, at which commit, and wrote the numbers."""

from __future__ import annotations

import pytest
import torch

from diffufix.decode.block_causal import block_generate
from diffufix.model import LoadedModel
from tests.golden.test_golden_families import MASK, golden, loaded

LONG, EOS = 20, 256
#: Family -> its block, and that of the golden numbers where the config does not say it.
FAMILIES = {"sdar": (4, 4), "llada2": (32, 8), "stable-diffcoder": (4, 4), "fast-dllm": (16, 16)}
CASES = [
    *(("sdar", f"{rule}_{row}", threshold) for row in (0, 1)
      for rule, threshold in (("low_confidence_static", None), ("low_confidence_dynamic", 0.2))),
    *(("llada2", f"threshold_{t}_{row}", t) for row in (0, 1) for t in (1.0, 0.2)),
    *(("stable-diffcoder", f"static_{row}", None) for row in (0, 1)),
    *(("fast-dllm", f"threshold_{t}_{row}", t) for row in (0, 1) for t in (1.0, 0.2)),
]  # fmt: skip


def unbanned(name: str) -> LoadedModel:
    model = loaded(name)
    model.textless = ()
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_recognised_by_itself(name):
    family = loaded(name).family
    assert (family.name, family.block) == (name, FAMILIES[name][0])
    assert (family.mask, family.shift) == (MASK, name == "fast-dllm")


@pytest.mark.parametrize("name", FAMILIES)
def test_logits(name):
    """Each block sees itself and those before it; experts, partial rotations and all names."""
    from diffufix.model.transformer import block_causal

    ids = golden(name)["input_ids"]
    model, places = loaded(name), torch.arange(ids.shape[1])[None]
    with torch.inference_mode():
        hidden, _ = model.hidden(ids, places, block_causal(places, FAMILIES[name][1]))
        found = model.lm_head(hidden)
    torch.testing.assert_close(found, golden(name)["logits_float32"], rtol=1e-4, atol=1e-4)
    if len(set(FAMILIES[name])) == 1:
        with torch.inference_mode():
            torch.testing.assert_close(model(ids), found)
            padded = torch.nn.functional.pad(ids, (3, 0), value=EOS)
            keep = torch.nn.functional.pad(torch.ones_like(ids), (3, 0))
            beside = model(padded, keep)[:, 3:]
        torch.testing.assert_close(beside, found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "case", "threshold"), CASES)
def test_completions(name, case, threshold):
    """Token for token, over prompts that end within a block and at the end of one."""
    row = int(case[-1])
    prompt = golden(name)["input_ids"][row, : 9 - row].tolist()
    expected = golden(name)[case].tolist()
    if name != "llada2":  # whose reference gives what follows the prompt, up to the end
        assert expected[: len(prompt)] == prompt
        expected = expected[len(prompt) : len(prompt) + LONG]
    ends = (EOS,) if name == "llada2" else ()
    (fill,) = block_generate(
        unbanned(name), prompt, 1, max_new_tokens=LONG, block=FAMILIES[name][1], ends=ends,
        threshold=threshold,
    )  # fmt: skip
    if EOS in expected and ends:
        expected = expected[: expected.index(EOS)]
    assert list(fill.ids) == expected[:LONG]


def test_blocks_that_are_counted_from_the_end_of_the_prompt():
    """The bd3lm checkpoints of dllm-hub: a2d-qwen3's layers, a prompt padded to whole blocks."""
    known, model = golden("bd3lm"), unbanned("a2d-qwen3")
    for row, length in ((0, 9), (1, 6)):
        (fill,) = block_generate(
            model, known["input_ids"][row, :length].tolist(), 1, max_new_tokens=16, block=8
        )
        assert list(fill.ids) == known["sequences"][row].tolist()
