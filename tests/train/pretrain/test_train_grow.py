"""A checkpoint that is grown keeps what it knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffufix.model import load_model
from diffufix.model.tokenizer import load_tokenizer
from diffufix.train.checkpoints import write_model
from diffufix.train.pretrain.grow import grown, wants_more
from diffufix.train.recipe import Recipe

TEXT = "def f(self, x):\n    return [x + 1 for x in self.values if not x]\n"
RICHER = Recipe(copy_size=48, copy_twins=True, edit_size=16, window=512)


def test_the_logits_of_known_ids_stay(tmp_path: Path) -> None:
    model = load_model("mini", device="cpu", dtype=torch.float32)
    assert wants_more(model, RICHER)
    made, family, folder = grown(model, RICHER, tmp_path / "tokenizer")
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(TEXT)
    assert ids == model.tokenizer.encode(TEXT)
    with torch.no_grad():
        before, after = model(torch.tensor([ids])), made(torch.tensor([ids]))
    torch.testing.assert_close(after[..., : before.shape[-1]], before)
    assert family.window == 512
    assert len({family.outline, family.names, family.breaking, *range(len(model.tokenizer))}) == (
        len(model.tokenizer) + 3
    )
    assert made.edit is not None
    assert made.copy is not None
    assert made.copy.other is not None


def test_it_is_written_and_read_again_and_wants_no_more(tmp_path: Path) -> None:
    model = load_model("mini", device="cpu", dtype=torch.float32)
    made, family, folder = grown(model, RICHER, tmp_path / "tokenizer")
    write_model(tmp_path / "made", made, family, folder)
    again = load_model(tmp_path / "made", device="cpu", dtype=torch.float32)
    assert again.family == family
    assert not wants_more(again, RICHER)
    torch.testing.assert_close(again.state_dict(), made.state_dict())


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(copy_size=48)])
def test_what_a_checkpoint_has_it_is_not_given(recipe: Recipe) -> None:
    assert not wants_more(load_model("mini", device="cpu"), recipe)
