"""Two processes that share out the groups move the weights as one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = """
import sys
import torch
torch.set_num_threads(1)
from diffufix.train.coupled_grpo import GRPOSettings, Learner
from diffufix.train.fresh import mini_family
from diffufix.train.trainer import make_accelerator
from tests.support.groups import make_groups, prompts
from tests.support.mini import tiny_model

def even(prompt, ids):
    return sum(token % 2 == 0 for token in ids) / len(ids)

torch.manual_seed(0)
accelerator = make_accelerator("cpu")
assert accelerator.num_processes == int(sys.argv[2])
model = tiny_model(40).requires_grad_(True)
model.family = mini_family()
groups = make_groups(model, prompts(5), even)
learner = Learner(
    model,
    lambda m: [torch.optim.SGD(m.parameters(), lr=1.0)],
    GRPOSettings(together=2, beta=0.1, sync_every=1),
    accelerator,
)
metrics = [learner.update(groups) for _ in range(2)]
if accelerator.is_main_process:
    torch.save({"metrics": metrics, "state": model.state_dict()}, sys.argv[1])
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _run(out: Path, count: int) -> dict:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_port()), "WORLD_SIZE": str(count)}
    place |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"} if count > 1 else {}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(out), str(count)],
            env={**os.environ, **(place if count > 1 else {}), "RANK": str(r), "LOCAL_RANK": str(r)}
            if count > 1
            else dict(os.environ),
            stderr=subprocess.PIPE,
            text=True,
        )
        for r in range(count)
    ]
    said = [one.communicate(timeout=300)[1] for one in started]
    assert [one.returncode for one in started] == [0] * count, said
    return torch.load(out, weights_only=True)


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    one, two = _run(tmp_path / "one.pt", 1), _run(tmp_path / "two.pt", 2)
    for a, b in zip(one["metrics"], two["metrics"], strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-5)
        assert a["steps"] == 2
    for name, value in one["state"].items():
        torch.testing.assert_close(value, two["state"][name], atol=1e-5, rtol=1e-4)
