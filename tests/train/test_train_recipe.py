"""Recipes: what is read, what is refused with which words, and the timeline of stages."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from diffufix.errors import UsageError
from diffufix.train.recipe import STAGES, Recipe, RecipeStage

SHAPE = "hidden_size=8\nintermediate_size=8\nlayers=1\nheads=2\nkv_heads=1\nsteps=100\n"
TWO = (
    '[[stage]]\nname="pretrain"\nshare=0.2\nmixture={plain=1.0}\n'
    '[[stage]]\nname="sft"\nshare=0.8\nmixture={gap=1.0}\nlr=0.5\nquality=0.6\n'
)
STAGED = Recipe(
    steps=100, warmup=10, decay_from=0.6,
    stages=[
        RecipeStage(0.5, {"plain": 1.0}, "pretrain"),
        RecipeStage(0.1, {"gap": 1.0}, "pretrain"),
        RecipeStage(0.2, {"plain": 1.0}, "anneal", lr=0.5),
        RecipeStage(0.2, {"repair": 1.0}, "sft"),
    ],
)  # fmt: skip


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_recipes_in_the_repository_are_complete(repository: Path) -> None:
    files = sorted((repository / "train" / "recipes").glob("*.toml"))
    assert {"mini-cpu.toml", "mini-gpu.toml", "adapt.toml"} <= {file.name for file in files}
    for file in files:
        recipe = Recipe.read(file, steps=100)
        assert recipe.steps == 100
        for stage in recipe.stages:
            assert sum(stage.mixture.values()) == pytest.approx(1), file
        first = "sft" if file.name == "mini-told.toml" else "pretrain"  # that one only goes on
        assert {stage.name for stage in recipe.stages} >= {first}


def test_reading_takes_what_is_written_and_defaults(tmp_path: Path) -> None:
    recipe = Recipe.read(written(tmp_path, "t=[0.001, 1]\n" + SHAPE + TWO), seed=3)
    assert (recipe.seed, recipe.rows, recipe.kv_heads, recipe.t) == (3, 16, 1, (0.001, 1))
    assert recipe.stages[1] == RecipeStage(0.8, {"gap": 1.0}, "sft", 0.5, 0.6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden_size=8\n" + SHAPE + TWO, "did you mean 'hidden_size'"),
        (SHAPE + TWO.replace("mixture", "mixtur", 1), "stage 1.*did you mean 'mixture'"),
        (SHAPE + TWO.replace("plain", "plian"), "did you mean 'plain'"),
        (SHAPE + TWO.replace("share=0.2\n", ""), "stage 1 lacks share"),
        (SHAPE + TWO.replace("0.8", "0.7"), "do not add up to 1"),
        (SHAPE + TWO.replace("sft", "pretrian"), "must be named pretrain, anneal, sft"),
        (SHAPE.replace("heads=2", "heads=3") + TWO, "multiple of heads"),
        (SHAPE.replace("steps=100", 'steps="many"') + TWO, "'many' is no int"),
        ("rows=5\naccumulate=2\n" + SHAPE + TWO, "cannot be split"),
        ("optimiser='sgd'\n" + SHAPE + TWO, "no optimiser 'sgd'"),
        ("t=[0.5, 0.2]\n" + SHAPE + TWO, "two growing numbers"),
        (SHAPE, "no .*stage"),
        ("steps=\n", "is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"(?i){message}") as caught:
        Recipe.read(written(tmp_path, text))
    assert caught.value.hint


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Recipe.read(tmp_path / "none.toml")


def test_learning_rate_warms_up_stays_and_decays_to_zero() -> None:
    recipe = replace(STAGED, stages=[RecipeStage(1.0, {"plain": 1.0})])
    rates = [recipe.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == [1.0] * 52
    assert rates[100] == 0
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))


def test_a_stage_scales_the_rate_and_a_late_start_warms_up_again() -> None:
    flat = replace(STAGED, decay_from=1.0)
    assert [flat.rate(step) for step in (59, 60, 79, 80)] == [1.0, 0.5, 0.5, 1.0]
    assert flat.rate(60, born=60) == pytest.approx(0.05)
    assert flat.rate(69, born=60) == pytest.approx(0.5)


def test_stages_cover_the_timeline_once() -> None:
    spans = STAGED.bounds()
    assert spans == [(0, 50), (50, 60), (60, 80), (80, 100)]
    for (first, last), stage in zip(spans, STAGED.stages, strict=True):
        assert all(STAGED.stage(step) is stage for step in range(first, last))
    assert [STAGED.part(name) for name in STAGES] == [(0, 60), (60, 80), (80, 100)]
    assert STAGED.part("pretrain", "sft") == (0, 100)
    assert STAGED.part("anneal", "sft") == (60, 100)
    with pytest.raises(UsageError, match="no stage named anneal"):
        replace(STAGED, stages=[RecipeStage(1.0, {"plain": 1.0})]).part("anneal")


def test_attention_goes_from_causal_to_full() -> None:
    recipe = replace(STAGED, attention_ramp=0.5)
    assert [recipe.attention(step) for step in (0, 25, 50, 99)] == [0, 0.5, 1, 1]
    assert STAGED.attention(0) == 1
