"""The trainer at toy size: it learns, resumes bit for bit, stops in order, loses nothing."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diffufix.errors import CheckpointError, PrerequisiteError, TrainingError, UsageError
from diffufix.model import load_model
from diffufix.model.tokenizer import load_tokenizer
from diffufix.train import checkpoints
from diffufix.train.objective import Objective
from diffufix.train.pretrain import stages, supply, trainer
from diffufix.train.pretrain.fresh import make_model, mini_family
from diffufix.train.pretrain.stages import PretrainConfig
from diffufix.train.pretrain.supply import FunctionSupply
from diffufix.train.pretrain.trainer import Options, Stopped
from diffufix.train.recipe import Recipe, RecipeStage
from diffufix.train.tracking import Tracker

TOY = """
hidden_size = 32
intermediate_size = 64
layers = 2
heads = 4
kv_heads = 2
steps = 12
rows = 4
accumulate = 2
warmup = 4
ema = 0.9
adam_lr = 1e-2

[[stage]]
name = "pretrain"
share = 0.5
mixture = { plain = 1.0 }

[[stage]]
name = "anneal"
share = 0.25
mixture = { gap = 1.0 }
lr = 0.5

[[stage]]
name = "sft"
share = 0.25
mixture = { repair = 1.0 }
"""
QUIET = Options("cpu", workers=0, save_every=4, log_every=1, quiz_every=0, quiet=True)
QUIET = replace(QUIET, tensorboard=False)


@pytest.fixture
def job(corpus: Path, tokenizer_folder: Path, tmp_path: Path) -> PretrainConfig:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(TOY)
    return PretrainConfig(
        "pretrain", recipe, corpus, tmp_path / "run", tokenizer_folder, through="sft", options=QUIET
    )


def curve(out: Path) -> list[tuple[int, float, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"], row["norm"]) for row in rows]


def same_weights(one: Path, two: Path) -> bool:
    a, b = (torch.load(folder / "state.pt", weights_only=True) for folder in (one, two))
    pairs = [(a["model"][name], b["model"][name]) for name in a["model"]]
    pairs += list(zip(a["average"]["values"], b["average"]["values"], strict=True))
    return all(torch.equal(x, y) for x, y in pairs)


@contextmanager
def failing(at: int, error: BaseException) -> Iterator[None]:
    """The objective raises at its `at`-th call."""
    calls, forward = [0], Objective.forward

    def counted(self: Any, batch: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise error
        return forward(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "forward", counted)
        yield


@pytest.fixture(scope="module")
def whole(corpus: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run of all stages."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "recipe.toml").write_text(TOY)
    stages.run(
        PretrainConfig(
            "pretrain", folder / "recipe.toml", corpus, folder / "run", tokenizer_folder,
            through="sft", options=replace(QUIET, quiz_every=12),
        )
    )  # fmt: skip
    return folder / "run"


@pytest.mark.parametrize("at", [3, 11, 13, 20])
def test_a_run_cut_off_anywhere_goes_on_bit_for_bit(
    job: PretrainConfig, whole: Path, at: int
) -> None:
    """Power cuts within a step, before the first checkpoint and at a stage's start."""
    with failing(at, RuntimeError("power")), pytest.raises(RuntimeError, match="power"):
        stages.run(job)
    stages.run(job)
    assert curve(job.out) == curve(whole)
    assert same_weights(job.out, whole)


def test_three_commands_make_the_same_model_as_one(
    job: PretrainConfig, whole: Path, tmp_path: Path
) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    stages.run(replace(job, out=one, through=None))
    stages.run(replace(job, stage="anneal", through=None, out=two, source=str(one), tokenizer=None))
    stages.run(replace(job, stage="sft", through=None, out=three, source=str(two)))
    assert [step for step, _, _ in curve(two)] == [7, 8, 9]
    assert curve(one) + curve(two) + curve(three) == curve(whole)
    assert same_weights(three, whole)
    again = stages.run(replace(job, stage="sft", through=None, out=three, source=str(two)))
    assert again["step"] == 12, "nothing is left to do"
    assert curve(one) + curve(two) + curve(three) == curve(whole)


def test_stages_in_one_folder_make_the_same_model(job: PretrainConfig, whole: Path) -> None:
    for stage in ("pretrain", "anneal", "sft"):
        stages.run(replace(job, stage=stage, through=None))
    assert curve(job.out) == curve(whole)
    assert same_weights(job.out, whole)


def test_the_exported_model_has_the_averaged_weights(whole: Path, tokenizer_folder: Path) -> None:
    model = load_model(whole / "model", device="cpu", dtype="float32")
    assert model.family == mini_family()
    assert len(model.tokenizer) == model.config.vocab_size
    state = torch.load(whole / "state.pt", weights_only=True)
    values = state["average"]["values"]
    for parameter, value in zip(model.parameters(), values, strict=True):
        assert torch.equal(parameter, value)
    assert not torch.equal(state["model"]["model.embed_tokens.weight"], values[0])
    last = json.loads((whole / "log.jsonl").read_text().splitlines()[-1])
    for kind in ("plain", "gap", "repair"):
        assert 0 < last[f"{kind}_loss"] < 7
        assert 0 <= last[f"{kind}_top1"] <= 1


def test_the_loss_falls(job: PretrainConfig) -> None:
    text = TOY.split("[[stage]]")[0] + "[[stage]]\nshare=1.0\nmixture={plain=1.0}\n"
    job.recipe.write_text(text.replace("warmup = 4", "warmup = 2"))
    stages.run(replace(job, steps=24, through=None))
    losses = [loss for _, loss, _ in curve(job.out)]
    assert sum(losses[-4:]) / 4 < 0.9 * sum(losses[:3]) / 3


def test_accumulated_parts_give_the_gradient_of_the_whole(
    job: PretrainConfig, tokenizer_folder: Path, corpus: Path
) -> None:
    recipe = Recipe.read(job.recipe)
    source = FunctionSupply(recipe, corpus, tokenizer_folder, mini_family())
    model = make_model(recipe, len(load_tokenizer(tokenizer_folder)))
    made = trainer.Trainer(model, mini_family(), tokenizer_folder, recipe, source, job.out, QUIET)
    make = source.open()
    parts = [make(0, part) for part in range(2)]
    losses = [Objective(model)(part) for part in parts]
    expected = torch.autograd.grad(sum(losses) / 2, model.model.embed_tokens.weight)[0]
    seen: dict[str, torch.Tensor] = {}

    def update() -> None:
        grad = model.model.embed_tokens.weight.grad
        assert grad is not None
        seen["grad"] = grad.clone()

    made._update = update  # type: ignore[method-assign]
    tracker = Tracker(job.out, 0, 1, quiet=True, tensorboard=False)
    with tracker:
        norm = made._step(0, iter(parts), tracker, 2)
    scale = min(1.0, recipe.clip / (norm + 1e-6))
    torch.testing.assert_close(seen["grad"], expected * scale)


# -- what goes wrong -------------------------------------------------------------------------------


def test_out_of_memory_saves_and_says_what_to_change(job: PretrainConfig, whole: Path) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory")
    with failing(12, error), pytest.raises(TrainingError, match="out of memory with 2") as caught:
        stages.run(job)
    assert "accumulate = 4" in caught.value.hint
    assert torch.load(job.out / "state.pt", weights_only=True)["step"] == 5
    stages.run(job)
    assert curve(job.out) == curve(whole)


def test_a_gradient_that_is_not_finite_is_left_out(job: PretrainConfig, monkeypatch: Any) -> None:
    forward, calls = Objective.forward, [0]

    def poisoned(self: Any, batch: Any) -> Any:
        calls[0] += 1
        return forward(self, batch) * (float("nan") if calls[0] == 5 else 1.0)

    monkeypatch.setattr(Objective, "forward", poisoned)
    assert stages.run(replace(job, through=None))["skipped"] == 1
    assert all(loss == loss for _, loss, _ in curve(job.out))


def test_gradients_that_stay_infinite_end_the_run_with_good_weights(
    job: PretrainConfig, monkeypatch: Any
) -> None:
    forward = Objective.forward
    monkeypatch.setattr(
        Objective, "forward", lambda self, batch: forward(self, batch) * float("inf")
    )
    with pytest.raises(TrainingError, match="5 steps in a row") as caught:
        stages.run(job)
    assert "learning rates" in caught.value.hint
    state = torch.load(job.out / "state.pt", weights_only=True)
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())


def test_a_full_disk_keeps_the_older_checkpoint(
    job: PretrainConfig, monkeypatch: Any, whole: Path
) -> None:
    save, calls = torch.save, [0]

    def full(state: Any, path: Path) -> None:
        calls[0] += 1
        save(state, path)
        if calls[0] == 2:
            raise RuntimeError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(TrainingError, match="No space left") as caught:
            stages.run(job)
    assert "same command" in caught.value.hint
    assert not list(job.out.rglob("*.new"))
    assert torch.load(job.out / "state.pt", weights_only=True)["step"] == 4
    stages.run(job)
    assert curve(job.out) == curve(whole)


def test_no_room_is_said_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="MiB free"):
        checkpoints.check_room(tmp_path / "not" / "there", 10**15)


def test_a_time_limit_stops_and_the_same_command_goes_on(job: PretrainConfig, whole: Path) -> None:
    short = replace(job, options=replace(QUIET, minutes=0.0))
    for step in range(1, 4):
        with pytest.raises(Stopped, match=f"step {step} of 12") as caught:
            stages.run(short)
        assert caught.value.planned
    stages.run(job)
    assert curve(job.out) == curve(whole)
    assert same_weights(job.out, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(
    job: PretrainConfig, whole: Path, monkeypatch: Any, number: int
) -> None:
    forward, calls = Objective.forward, [0]

    def signalling(self: Any, batch: Any) -> Any:
        calls[0] += 1
        if calls[0] == 5:
            os.kill(os.getpid(), number)
        return forward(self, batch)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", signalling)
        with pytest.raises(Stopped, match="step 3 of 12") as caught:
            stages.run(job)
    assert not caught.value.planned
    assert signal.getsignal(number) == before
    stages.run(job)
    assert curve(job.out) == curve(whole)


def test_mistakes_on_the_command_line_are_named(
    job: PretrainConfig, tmp_path: Path, whole: Path
) -> None:
    cases = {
        "no recipe": (replace(job, recipe=tmp_path / "x.toml"), UsageError, "cannot be read"),
        "no corpus": (replace(job, corpus=tmp_path / "x.gz"), UsageError, "cannot be read"),
        "no tokenizer": (replace(job, tokenizer=None), UsageError, "needs --tokenizer"),
        "nothing to go on from": (replace(job, stage="sft"), UsageError, "--?.* holds none"),
        "no such run": (
            replace(job, stage="sft", source=str(tmp_path)), CheckpointError, "config.json",
        ),
    }  # fmt: skip
    for name, (wrong, kind, message) in cases.items():
        with pytest.raises(kind, match=message) as caught:
            stages.run(wrong)
        assert caught.value.hint, name
    job.recipe.write_text(TOY.replace("hidden_size = 32", "hidden_size = 64"))
    with pytest.raises(CheckpointError, match="another shape") as caught:
        stages.run(replace(job, out=whole))
    assert "another --out" in caught.value.hint


def test_a_damaged_state_points_at_the_weights(job: PretrainConfig, whole: Path) -> None:
    stages.run(job)
    data = (job.out / "state.pt").read_bytes()
    (job.out / "state.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="damaged") as caught:
        stages.run(job)
    assert str(job.out / "model") in caught.value.hint


def test_sft_can_start_from_any_mini(job: PretrainConfig, tmp_path: Path, whole: Path) -> None:
    done = stages.run(
        replace(job, stage="sft", source=str(whole / "model"), out=tmp_path / "tuned")
    )
    assert done["step"] == 12
    rows = curve(tmp_path / "tuned")
    assert [step for step, _, _ in rows] == [10, 11, 12]
    assert rows != curve(whole)[9:], "the optimisers are new"


# -- batches and processes -------------------------------------------------------------------------


def test_batches_made_ahead_are_the_same(job: PretrainConfig) -> None:
    recipe = Recipe.read(job.recipe)
    source = FunctionSupply(recipe, job.corpus, job.tokenizer, mini_family())  # type: ignore[arg-type]
    found = []
    for workers in (0, 1):
        with supply.batches(source, 1, 3, workers, (0, 1)) as coming:
            found.append(list(coming))
    assert len(found[0]) == len(found[1]) == 4
    for one, two in zip(*found, strict=True):
        assert all(torch.equal(getattr(one, n), getattr(two, n)) for n in one.__dataclass_fields__)


def test_masked_shares_are_spread_over_the_batch(job: PretrainConfig) -> None:
    recipe = replace(
        Recipe.read(job.recipe), rows=20, accumulate=1, t=(0.0, 1.0), elbo=True,
        stages=[RecipeStage(1.0, {"plain": 1.0})],
    )  # fmt: skip
    source = FunctionSupply(recipe, job.corpus, job.tokenizer, mini_family())  # type: ignore[arg-type]
    batch = source.open()(0, 0)
    at = batch.labels >= 0
    shares = sorted({round(0.5 / float(w), 4) for w in batch.weights[at]})
    assert len(shares) >= 18, "rows with hardly any mask may show none"
    gaps = [b - a for a, b in itertools.pairwise(shares)]
    assert min(gaps) > 0.04


def test_a_tokenizer_of_another_family_is_refused(job: PretrainConfig, tmp_path: Path) -> None:
    from tests.support.checkpoints import make_dream_checkpoint

    folder = make_dream_checkpoint(tmp_path / "dream")
    with pytest.raises(UsageError, match="not one of mini"):
        stages.run(replace(job, tokenizer=folder))


@pytest.mark.slow
def test_two_processes_learn_what_one_does(job: PretrainConfig, whole: Path) -> None:
    argv = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    argv += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    argv += ["-m", "diffufix.train.pretrain", "--recipe", str(job.recipe), "--out", str(job.out)]
    argv += ["--corpus", str(job.corpus), "--tokenizer", str(job.tokenizer), "--through", "sft"]
    argv += ["--device", "cpu", "--workers", "0", "--log-every", "1", "--quiz-every", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    for (step, loss, _), (expected, other, _) in zip(curve(job.out), curve(whole), strict=True):
        assert step == expected
        assert loss == pytest.approx(other, rel=1e-3)
