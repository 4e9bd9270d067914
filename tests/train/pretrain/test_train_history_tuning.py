"""Tuning on the repairs in a repository's history, end to end at toy size."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffufix.errors import ProjectError, UsageError
from diffufix.model.checkpoint import load_model
from diffufix.train.batch import IGNORE
from diffufix.train.bugs.history import FixPair, load_pairs, split, write_pairs
from diffufix.train.objective import Labelled, Objective
from diffufix.train.pretrain import stages
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.pretrain.stages import PretrainConfig
from diffufix.train.pretrain.supply import FunctionSupply, batches
from diffufix.train.pretrain.trainer import Options
from diffufix.train.recipe import Recipe

RECIPE = """
hidden_size = 32
intermediate_size = 64
layers = 2
heads = 4
kv_heads = 2
steps = 8
rows = 4
warmup = 2

[[stage]]
name = "pretrain"
share = 0.25
mixture = { plain = 1.0 }

[[stage]]
name = "sft"
share = 0.75
mixture = { repair = 0.5, history = 0.5 }
"""
QUIET = Options(
    "cpu", workers=0, save_every=3, log_every=1, quiz_every=0, quiet=True, tensorboard=False
)
#: What was wrong, and what it became: one commit each.
FIXES = [
    ("if value > limit:", "if value >= limit:"),
    ("total = 1", "total = 0"),
    ("return total - count", "return total + count"),
]
MODULE = """def add_up(values, limit, count):
    total = 0
    for value in values:
        if value >= limit:
            continue
        total += value
    return total + count
"""


def git(folder: Path, *args: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *args], cwd=folder, capture_output=True, check=True)


def commit(folder: Path, text: str, message: str) -> None:
    (folder / "sums.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project whose history mends one bug after the other."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    text = MODULE
    for wrong, right in FIXES:
        text = text.replace(right, wrong)
    commit(folder, text, "Start")
    for number, (wrong, right) in enumerate(FIXES):
        text = text.replace(wrong, right)
        commit(folder, text, f"Fix fault {number}")
    return folder


@pytest.fixture
def job(corpus: Path, tokenizer_folder: Path, tmp_path: Path) -> PretrainConfig:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    return PretrainConfig(
        "pretrain", recipe, corpus, tmp_path / "run", tokenizer_folder, through="sft", options=QUIET
    )


def curve(out: Path) -> list[tuple[int, float, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"], row["norm"]) for row in rows]


def test_a_run_learns_from_history_and_resumes_as_if_unbroken(
    job: PretrainConfig, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(job, out=tmp_path / "whole", history=(repository,))
    stages.run(whole)
    assert len(load_pairs(whole.out / "pairs.jsonl.gz")) == len(FIXES)

    forward, calls = Objective.forward, [0]

    def counted(self: Objective, batch: Labelled) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 6:
            raise RuntimeError("power")
        return forward(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", counted)
        with pytest.raises(RuntimeError, match="power"):
            stages.run(replace(job, history=(repository,)))
    commit(repository, MODULE.replace(" >= limit", " == limit"), "Fix it once more")
    stages.run(replace(job, history=(repository,)))  # the history has grown; the run's has not
    assert curve(job.out) == curve(whole.out)

    # the stages one by one, from the file of pairs: pre-training does not ask for it
    alone = replace(job, out=tmp_path / "alone", through=None)
    stages.run(alone)
    assert not (alone.out / "pairs.jsonl.gz").exists()
    stages.run(replace(alone, stage="sft", pairs=(whole.out / "pairs.jsonl.gz",)))
    assert curve(alone.out) == curve(whole.out)
    a, b = (torch.load(out / "state.pt", weights_only=True) for out in (alone.out, whole.out))
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])


def test_what_is_missing_is_said(job: PretrainConfig, repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no repairs to make it from") as caught:
        stages.run(job)
    assert "--history" in caught.value.hint
    assert not job.out.exists()

    bare = tmp_path / "bare"
    bare.mkdir()
    git(bare, "init", "-q")
    commit(bare, MODULE, "Start")
    with pytest.raises(ProjectError, match="no small fixing commits"):
        stages.run(replace(job, history=(repository, bare)))
    with pytest.raises(UsageError, match="cannot be read"):
        stages.run(replace(job, pairs=(job.recipe,)))

    large = f"def f(x):\n    return [{', '.join(f'name{i}' for i in range(60))}]\n"
    pair = FixPair("def f(x):\n    return x\n", large, "a.py", "f", "0" * 40, "Fix")
    write_pairs([pair], bare / "p.gz")
    with pytest.raises(UsageError, match="None of the 1"):
        stages.run(replace(job, pairs=(bare / "p.gz",)))

    job.recipe.write_text(RECIPE.replace("history = 0.5", "gap = 0.5"))
    with pytest.raises(UsageError, match="mixes no history"):
        stages.run(replace(job, history=(repository,)))


def test_rows_of_history_ask_for_the_repair(maker: ExampleMaker) -> None:
    wrong, right = FIXES[0]
    pair = FixPair(MODULE.replace(right, wrong), MODULE, "a.py", "add_up", "", "")
    seen = False
    for seed in range(20):
        row = maker.history(pair, random.Random(seed))
        assert row is not None
        context = [i for i, s in zip(row.ids, row.segments, strict=True) if s == 0]
        assert wrong in maker.tokenizer.decode(context[1:-1])
        asked = [
            i for i, s in zip(row.labels, row.segments, strict=True) if i != IGNORE and s and i > 8
        ]
        seen = seen or ">=" in maker.tokenizer.decode(asked)
    assert seen


def test_pairs_of_one_function_in_ten_are_held_out(
    corpus: Path, tokenizer_folder: Path, maker: ExampleMaker, job: PretrainConfig
) -> None:
    wrong, right = FIXES[0]
    pairs = [
        FixPair(MODULE.replace(right, wrong), MODULE, f"{n % 20}.py", "add_up", str(n), "")
        for n in range(40)
    ]
    train, held = split(pairs)
    assert (len(train), len(held)) == (36, 4)
    assert not {p.path for p in train} & {p.path for p in held}
    assert split(pairs[:9]) == (pairs[:9], [])

    supply = FunctionSupply(
        Recipe.read(job.recipe), corpus, tokenizer_folder, maker.family, tuple(pairs)
    )
    assert set(supply.quiz()) == {"plain", "repair", "history"}
    assert set(replace(supply, pairs=()).quiz()) == {"plain", "repair"}
    with batches(supply, 2, 8, 1) as ahead:  # in another process
        made = list(ahead)
    here = supply.open()
    assert all(torch.equal(a.ids, here(step, 0).ids) for step, a in enumerate(made, 2))


def test_rows_of_a_bug_with_a_failure_mostly_show_it(maker: ExampleMaker) -> None:
    wrong, right = FIXES[0]
    said = "AssertionError: assert 3 == 4\nassert add_up(2) == 4"
    pair = FixPair(MODULE.replace(right, wrong), MODULE, "a.py", "add_up", "", "", said)
    shown = 0
    for seed in range(60):
        told = maker.history(pair, random.Random(seed))
        row = maker.history(replace(pair, failure=""), random.Random(seed))
        assert told is not None
        assert row is not None
        context = [i for i, s in zip(told.ids, told.segments, strict=True) if s == 0]
        text = maker.tokenizer.decode(context)
        shown += text.endswith(said + "<|eos|>")
        if said in text:  # nothing else differs: the same holes with the same labels
            more = len(told.ids) - len(row.ids)
            assert told.ids[-40:] == row.ids[-40:]
            assert told.positions[-40:] == row.positions[-40:]
            assert (
                told.labels
                == row.labels[: len(context) - more]
                + [IGNORE] * more
                + (row.labels[len(context) - more :])
            )
    assert 35 <= shown <= 55  # of 60, three in four


def test_a_model_that_has_learned_from_failures_says_that_it_reads_them(
    job: PretrainConfig, tmp_path: Path
) -> None:
    wrong, right = FIXES[0]
    pair = FixPair(MODULE.replace(right, wrong), MODULE, "a.py", "add_up", "", "")
    for said, reads in (("", None), ("ValueError: no", True)):
        write_pairs([replace(pair, failure=said)], tmp_path / "p.gz")
        made = replace(job, out=tmp_path / f"out{reads}", pairs=(tmp_path / "p.gz",))
        stages.run(made)
        assert load_model(made.out / "model", device="cpu").family.failure is reads
