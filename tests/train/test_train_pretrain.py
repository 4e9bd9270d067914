"""The training loop at toy size: it learns, it resumes on the same curve, it leaves a model."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffufix.model import load_model
from diffufix.train import pretrain
from diffufix.train.muon import Muon, orthogonalise
from diffufix.train.pretrain import Recipe, Stage, make_model, optimisers

TOY = Recipe(
    32, 64, 2, 4, 2, steps=20, rows=4, length=512, warmup=4, muon_lr=0.02, adam_lr=1e-2,
    stages=[Stage(0.5, {"plain": 1.0}), Stage(0.5, {"repair": 1.0})],
)  # fmt: skip


def curve(out: Path) -> list[tuple[int, float, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"], row["norm"]) for row in rows]


def run(recipe: Recipe, corpus: Path, tokenizer: Path, out: Path) -> None:
    pretrain.train(
        recipe, corpus, tokenizer, out, save_every=10, workers=0, log_every=1, quiz_every=20
    )


def test_an_interrupted_run_goes_on_as_if_it_never_stopped(
    corpus: Path, tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(TOY, corpus, tokenizer_folder, whole)
    with monkeypatch.context() as patch:
        every = pretrain.batches
        patch.setattr(pretrain, "batches", lambda *a: itertools.islice(every(*a), 13))
        run(TOY, corpus, tokenizer_folder, broken)
    assert [step for step, _, _ in curve(broken)] == list(range(1, 14))
    run(TOY, corpus, tokenizer_folder, broken)  # from step 10, the last one saved
    expected = curve(whole)
    assert curve(broken) == expected[:13] + expected[10:]
    one, two = (torch.load(folder / "state.pt", weights_only=True) for folder in (whole, broken))
    assert all(torch.equal(one["model"][name], two["model"][name]) for name in one["model"])

    last = json.loads((whole / "log.jsonl").read_text().splitlines()[-1])
    assert {f"{kind}_loss" for kind in ("plain", "gap", "repair")} <= last.keys()
    model = load_model(whole / "model", device="cpu")
    assert model.family == pretrain.mini_family()
    ids = torch.tensor([[2, 30, 31, 1, 3]])
    trained = make_model(TOY, len(model.tokenizer))
    trained.load_state_dict(one["model"])
    torch.testing.assert_close(model(ids), trained(ids), rtol=1e-3, atol=1e-3)


def test_the_loss_falls(corpus: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    recipe = replace(TOY, steps=30, stages=[Stage(1.0, {"plain": 1.0})])
    run(recipe, corpus, tokenizer_folder, tmp_path)
    losses = [loss for _, loss, _ in curve(tmp_path)]
    assert sum(losses[-5:]) / 5 < 0.9 * sum(losses[:3]) / 3


def test_batches_made_ahead_are_the_same(corpus: Path, tokenizer_folder: Path) -> None:
    recipe = replace(TOY, steps=3)
    here, ahead = (list(pretrain.batches(recipe, corpus, tokenizer_folder, 1, n)) for n in (0, 1))
    assert [step for step, _ in here] == [step for step, _ in ahead] == [1, 2]
    for (_, one), (_, two) in zip(here, ahead, strict=True):
        assert all(torch.equal(getattr(one, n), getattr(two, n)) for n in one.__dataclass_fields__)


def test_recipes_in_the_repository_are_complete(repository: Path) -> None:
    files = sorted((repository / "train" / "recipes").glob("*.toml"))
    assert files
    for file in files:
        recipe = Recipe.read(file, steps=100)
        assert recipe.steps == 100
        assert sum(stage.share for stage in recipe.stages) == pytest.approx(1)
        assert recipe.hidden_size % recipe.heads == 0
        for step in (0, 50, 99):
            assert sum(recipe.mixture(step).values()) == pytest.approx(1)


def test_recipe_reads_what_is_written_and_nothing_else(tmp_path: Path) -> None:
    text = "hidden_size=8\nintermediate_size=8\nlayers=1\nheads=2\nkv_heads=1\nsteps=100\n"
    stages = "[[stage]]\nshare=0.2\nmixture={plain=1.0}\n[[stage]]\nshare=0.8\nmixture={gap=1.0}\n"
    (tmp_path / "a.toml").write_text(text + stages)
    recipe = Recipe.read(tmp_path / "a.toml", seed=3)
    assert (recipe.seed, recipe.rows, recipe.kv_heads) == (3, 16, 1)
    assert [recipe.mixture(s) for s in (0, 19, 20, 99, 100)] == [
        *([{"plain": 1.0}] * 2), *([{"gap": 1.0}] * 3),
    ]  # fmt: skip
    (tmp_path / "b.toml").write_text("colour=1\n" + text + stages)
    with pytest.raises(TypeError, match="colour"):
        Recipe.read(tmp_path / "b.toml")


def test_learning_rate_warms_up_stays_and_decays_to_zero() -> None:
    recipe = replace(TOY, steps=100, warmup=10, decay_from=0.6)
    rates = [recipe.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == [1.0] * 52
    assert rates[100] == 0
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))


@pytest.mark.parametrize("shape", [(24, 24), (16, 48), (48, 16)])
def test_orthogonalise_has_the_singular_vectors_and_values_near_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator)
    made = orthogonalise(matrix)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = torch.diagonal(left.T @ made @ right.T)
    torch.testing.assert_close(aligned.sort().values, values.sort().values, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(orthogonalise(100 * matrix), made, rtol=1e-3, atol=1e-3)


def test_muon_steps_along_the_orthogonalised_momentum() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 2))
    gradients = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0))
    muon = Muon([weight], lr=0.1, momentum=0.9)
    buffer, expected = torch.zeros(8, 2), torch.zeros(8, 2)
    for gradient in gradients:
        weight.grad = gradient.clone()
        muon.step()
        buffer = 0.9 * buffer + 0.1 * gradient
        expected -= 0.1 * 2.0 * orthogonalise(0.1 * gradient + 0.9 * buffer)
        torch.testing.assert_close(weight.detach(), expected)


def test_matrices_of_the_blocks_go_to_muon_and_the_rest_to_adam() -> None:
    model = make_model(TOY, 50)
    muon, adam = optimisers(model, TOY)
    inside = {id(p) for p in muon.param_groups[0]["params"]}
    others = {id(p) for p in adam.param_groups[0]["params"]}
    assert not inside & others
    assert inside | others == {id(p) for p in model.parameters()}
    assert id(model.model.embed_tokens.weight) in others
