"""`python -m diffufix.train.rl.several`: one process or two, the same adapter out of the log."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from diffufix.model import load_model
from diffufix.store import Store
from diffufix.train.rl.several import main
from diffufix.train.rl.tasks import is_held_out
from tests.support.groups import make_groups, prompts

COMMAND = [sys.executable, "-m", "diffufix.train.rl.several", "--device", "cpu", "--model", "mini"]
OPTIONS = ["--lora", "--rank", "4", "--tasks", "2", "--inner", "1", "--lr", "1e-2"]


def log(root: Path) -> Path:
    """A project whose log holds three groups of mini, and one of a function that is held out."""
    root.mkdir()
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    model = load_model("mini", device="cpu")
    groups = make_groups(
        model, prompts(4), lambda prompt, ids: sum(ids) % 101 / 101,
        n=8, inner=1, version=model.fingerprint,  # of four, all may be the same
    )  # fmt: skip
    names = sorted((f"f{i}" for i in range(20)), key=lambda name: is_held_out(f"m.py::{name}"))
    names = [*names[:3], names[-1]]
    with Store.open(root) as store:
        run = store.begin_run({}, "train")
        for number, (group, name) in enumerate(zip(groups, names, strict=True)):
            task = replace(group.task, qualname=name, key=str(number))
            store.add_group(run, replace(group, task=task, made_at=float(number + 1)))
    return root


def run(root: Path, out: Path, count: int) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    if count > 1:
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
        env |= {"ACCELERATE_USE_CPU": "true"}
    command = [*COMMAND, *OPTIONS, "--project", str(root), "--out", str(out)]
    ranks = [{"RANK": str(r), "LOCAL_RANK": str(r)} if count > 1 else {} for r in range(count)]
    started = [subprocess.Popen(command, env={**env, **rank}) for rank in ranks]
    assert [one.wait(timeout=500) for one in started] == [0] * count
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return rows, load_file(out / "adapter_model.safetensors")


@pytest.mark.slow
def test_two_processes_make_the_adapter_of_one(tmp_path: Path) -> None:
    root = log(tmp_path / "project")
    (rows, one), (others, two) = run(root, tmp_path / "1", 1), run(root, tmp_path / "2", 2)
    assert [row["groups"] for row in rows] == [2, 1]
    for row, other in zip(rows, others, strict=True):
        for key in ("loss", "norm", "reward", "ratio", "steps"):
            assert row[key] == pytest.approx(other[key], rel=1e-3, abs=1e-5)
    assert one.keys() == two.keys()
    ours, theirs = (
        torch.cat([state[key].flatten() for key in sorted(one)]) for state in (one, two)
    )
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.999
    assert any("lora_B" in key and value.any() for key, value in one.items())
    tuned, bare = load_model("mini", device="cpu", adapter=tmp_path / "2"), load_model("mini")
    ids = torch.arange(40, 60)[None]
    assert not torch.equal(tuned(ids), bare(ids))


def test_a_log_without_such_groups_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    Store.open(tmp_path).close()
    given = ["--project", str(tmp_path), "--out", str(tmp_path / "o"), "--device", "cpu"]
    assert main([*given, "--model", "mini"]) == 2
    assert "holds nothing" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
