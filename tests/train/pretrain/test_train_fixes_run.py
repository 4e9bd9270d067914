"""A run of the sixth version's kind at toy size: killed at any moment it goes on as if it had not
been, and what it leaves searches with its edit head, its outline and its copied twins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from diffufix.model import load_model
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext
from diffufix.propose.propose import propose
from diffufix.train.bugs.history import FixPair, write_pairs
from diffufix.types import Kind, SuspiciousFunction
from tests.support.mini import library_functions

RECIPE = """
hidden_size = 32
intermediate_size = 64
layers = 2
heads = 4
copy_size = 8
copy_twins = true
edit_size = 8
window = 128
steps = 6
rows = 2
length = 640
warmup = 2
decay_from = 0.999
ema = 0.9

[[stage]]
name = "pretrain"
share = 1.0
mixture = { repair = 0.3, history = 0.5, breaking = 0.2 }
"""
SOURCE = """\
LIMIT = 3


class Shop:
    def __init__(self):
        self.rows = []

    def price(self, name):
        total = 0
        for row in self.rows:
            if row.count > LIMIT:
                total += row.price
        return "%s: %d" % (name, total)
"""


def command(folder: Path, corpus: Path, tokenizer: Path, out: Path) -> list[str]:
    return [
        sys.executable, "-m", "diffufix.train.pretrain", "--recipe", str(folder / "recipe.toml"),
        "--corpus", str(corpus), "--tokenizer", str(tokenizer), "--out", str(out), "--pairs",
        str(folder / "pairs.jsonl.gz"), "--save-every", "1", "--log-every", "1", "--quiz-every",
        "0", "--workers", "0", "--device", "cpu",
    ]  # fmt: skip


def step_of(out: Path) -> int:
    return int(torch.load(out / "state.pt", weights_only=True)["step"])


def curve(out: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    corpus: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    found = [
        FixPair(text.replace("==", "!="), text, "a/b.py", f"f{i}", "", "", "\nassert f(1) == 2",
             "import os\nLIMIT = 3\ndef other(a): ...", "alpha beta")
        for i, text in enumerate(library_functions()) if text.count("==") == 1
    ]  # fmt: skip
    assert len(found) > 10
    write_pairs(found, tmp_path / "pairs.jsonl.gz")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(
        command(tmp_path, corpus, tokenizer_folder, whole), check=True, env=environment,
        capture_output=True,
    )  # fmt: skip
    run = subprocess.Popen(
        command(tmp_path, corpus, tokenizer_folder, broken), env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (broken / "state.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert step_of(broken) < 6
    subprocess.run(
        command(tmp_path, corpus, tokenizer_folder, broken), check=True, env=environment,
        capture_output=True,
    )  # fmt: skip
    a, b = (torch.load(out / "state.pt", weights_only=True) for out in (whole, broken))
    assert a["step"] == b["step"] == 6
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    assert dict(curve(broken)) == dict(curve(whole))

    model = load_model(whole / "model", device="cpu")
    assert model.family.failure
    assert (model.family.window, model.config.copy_twins) == (128, True)
    assert model.copy is not None
    assert model.copy.twin_V.tolist() == model.tokenizer.twins(len(model.tokenizer))
    subject = EditTarget(SuspiciousFunction("shop.py", "Shop.price", 7, 13, 1.0, {}), SOURCE)
    kinds = set()
    for number, proposal in enumerate(propose(model, [subject], FailureContext("", told="boom"))):
        inside = SOURCE[: proposal.hole.start].count('"') % 2 == 1
        kinds.add("string" if inside else proposal.hole.kind)
        if number > 400 or {"string", Kind.EXPRESSION} <= kinds:
            break
    assert {"string", Kind.EXPRESSION} <= kinds
