"""`diffufix train` from sources to a model that fills a hole, and what it says on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from diffufix.cli import main
from tests.support.mini import library_functions

RECIPE = """
hidden_size = 32
intermediate_size = 64
layers = 2
heads = 4
kv_heads = 2
steps = 9
rows = 4
warmup = 2

[[stage]]
name = "pretrain"
share = 0.4
mixture = { plain = 0.5, gap = 0.5 }

[[stage]]
name = "anneal"
share = 0.3
mixture = { gap = 1.0 }
quality = 0.3

[[stage]]
name = "sft"
share = 0.3
mixture = { repair = 1.0 }
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own with a licence, made of functions of the standard library."""
    folder = tmp_path_factory.mktemp("sources") / "parts"  # a name that is not held out
    folder.mkdir()
    for number, source in enumerate(library_functions()[:120]):
        text = textwrap.dedent(source)
        (folder / f"part{number}.py").write_text("import re\n\n\n" + text + "\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "parts"\nlicense = "MIT"\n')
    return folder


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    code = main([str(arg) for arg in argv])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_from_sources_to_a_model_that_fills_a_hole(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    corpus, tokenizer, recipe = tmp_path / "corpus", tmp_path / "tokenizer", tmp_path / "r.toml"
    recipe.write_text(RECIPE)
    run(capsys, "train", "corpus", "--from", sources, "--out", corpus)
    assert "700 ids" in run(
        capsys, "train", "tokenizer", "--corpus", corpus, "--out", tokenizer, "--size", 700
    )
    common = ["--recipe", recipe, "--corpus", corpus, "--device", "cpu", "--workers", 0]
    common += ["--log-every", 1, "--quiz-every", 3]
    first = ["train", "pretrain", *common, "--out", tmp_path / "a", "--tokenizer", tokenizer]
    planned = run(capsys, *first, "--dry-run")
    assert "parameters" in planned
    assert "FLOPs" in planned
    assert not (tmp_path / "a").exists()
    run(capsys, *first)
    run(capsys, "train", "anneal", *common, "--from", tmp_path / "a", "--out", tmp_path / "b")
    out = run(capsys, "train", "sft", *common, "--from", tmp_path / "b", "--out", tmp_path / "c")
    assert json.loads(out)["step"] == 9
    made = tmp_path / "made"
    assert "MB in 1 file" in run(capsys, "train", "export", "--run", tmp_path / "c", "--out", made)

    from diffufix.decode import infill
    from diffufix.model import load_model
    from diffufix.types import Canvas

    model = load_model(made, device="cpu")
    text = "def add(a, b):\n    return a "
    left, right = model.tokenizer.encode(text), model.tokenizer.encode("b\n")
    fills = infill(model, Canvas(tuple(left), tuple(right), tuple(model.tokenizer.encode("- "))), 2)
    assert fills
    assert all(isinstance(model.tokenizer.decode(fill.ids), str) for fill in fills)


def test_pretraining_runs_without_typer_and_rich(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, recipe = tmp_path / "corpus", tmp_path / "r.toml"
    recipe.write_text(RECIPE)
    run(capsys, "train", "corpus", "--from", sources, "--out", corpus)
    run(capsys, "train", "tokenizer", "--corpus", corpus, "--out", tmp_path / "tok", "--size", 600)
    # As on a machine that has neither: importing them fails.
    (tmp_path / "bare").mkdir()
    for name in ("typer", "rich", "click"):
        (tmp_path / "bare" / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(tmp_path / "bare"), str(root)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def module(name: str, *argv: object) -> str:
        command = [sys.executable, "-m", f"diffufix.train.{name}", *map(str, argv)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    common = ["--recipe", recipe, "--corpus", corpus, "--device", "cpu", "--quiz-every", 0]
    common += ["--workers", 1, "--through", "sft"]
    out = module("pretrain", *common, "--out", tmp_path / "run", "--tokenizer", tmp_path / "tok")
    assert json.loads(out)["step"] == 9
    assert (tmp_path / "run" / "model" / "config.json").is_file()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pretrain", "--recipe", "none.toml"], "none.toml cannot be read"),
        (["pretrain", "--recipe", "typo.toml"], "Did you mean 'warmup'"),
        (["pretrain", "--recipe", "r.toml"], "corpus"),
        (["sft", "--recipe", "r.toml"], "--from"),
        (["sft", "--recipe", "r.toml", "--through", "rl"], "no stage 'rl'"),
    ],
)
def test_mistakes_end_with_a_message_and_code_2(
    argv: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE)
    (tmp_path / "typo.toml").write_text(RECIPE.replace("warmup", "warm_up"))
    assert main(["train", *argv, "--corpus", "none", "--out", "run", "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_help_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "train", "--help")
    for name in ("corpus", "tokenizer", "pretrain", "anneal", "sft", "export"):
        assert name in shown
