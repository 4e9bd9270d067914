"""Two processes that share out the groups move the weights as one does; the accelerate recipes.

Shared out weights (FSDP) accelerate offers for GPUs alone. Here it is told that it does on a CPU,
by setting the two fields that its choice sets; all that follows from them is its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import diffufix.train
from tests.support.mini import tiny_model

RECIPES = Path(next(iter(diffufix.train.__path__))) / "recipes"
WORKER = """
import os
import sys
import torch
torch.set_num_threads(1)
from diffufix.train.rl.objectives.coupled_grpo import Learner
from diffufix.train.rl.objectives.group_batch import GRPOSettings
from diffufix.train.pretrain.fresh import mini_family
from diffufix.train.rl.lora import add_lora
from diffufix.train.rl.several import gathered
from diffufix.train.pretrain.trainer import make_accelerator
from tests.support.groups import make_groups, prompts
from tests.support.mini import tiny_model

def even(prompt, ids):
    return sum(token % 2 == 0 for token in ids) / len(ids)

out, count, how, what = sys.argv[1:]
accelerator = make_accelerator("cpu")
assert accelerator.num_processes == int(count)
if how == "fsdp":
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()  # of the environment
    assert accelerator.is_fsdp2
model = tiny_model(40).requires_grad_(True)
model.family = mini_family()
if what == "lora":
    torch.manual_seed(0)
    add_lora(model, 4, 8)
groups = make_groups(model, prompts(5), even)
learner = Learner(
    model,
    lambda m: [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=1.0)],
    GRPOSettings(together=2, beta=0.1, sync_every=1),
    accelerator,
)
metrics = [learner.update(groups) for _ in range(2)]
state = gathered(model)
if accelerator.is_main_process:
    torch.save({"metrics": metrics, "state": state}, out)
accelerator.wait_for_everyone()
accelerator.end_training()
os._exit(0)  # FSDP's threads may outlive the interpreter on a CPU, and abort it
"""


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _run(out: Path, count: int, how: str = "ddp", what: str = "whole") -> dict[str, Any]:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_port()), "WORLD_SIZE": str(count)}
    place |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"} if count > 1 else {}
    if how == "fsdp":
        place |= {k: v for k, v in _environment("fsdp").items() if k.startswith("FSDP_")}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(out), str(count), how, what],
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


def _environment(recipe: str) -> dict[str, str]:
    """What `accelerate launch` gives to every process of a recipe. Raises for unknown keys."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    path = RECIPES / f"{recipe}.yaml"
    args = launch_command_parser().parse_args(["--config_file", str(path), "-m", "nothing"])
    args, _, _ = _validate_launch_command(args)
    return prepare_multi_gpu_env(args)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "what"), [("ddp", "whole"), ("fsdp", "whole"), ("fsdp", "lora")])
def test_two_processes_are_one(tmp_path: Path, how: str, what: str) -> None:
    one = _run(tmp_path / "one.pt", 1, "ddp", what)
    two = _run(tmp_path / "two.pt", 2, how, what)
    for a, b in zip(one["metrics"], two["metrics"], strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-5)
        assert a["steps"] == 2
    assert one["state"].keys() == two["state"].keys()
    for name, value in one["state"].items():
        torch.testing.assert_close(value, two["state"][name], atol=1e-5, rtol=1e-4)


def test_the_recipes_are_accelerates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own parser takes them, and its plugin what that makes of them."""
    from accelerate.utils import FullyShardedDataParallelPlugin

    ddp, fsdp = _environment("ddp"), _environment("fsdp")
    assert ddp["ACCELERATE_MIXED_PRECISION"] == fsdp["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert "ACCELERATE_USE_FSDP" not in ddp
    assert fsdp["ACCELERATE_USE_FSDP"] == "true"
    for key, value in fsdp.items():
        if key.startswith("FSDP_"):
            monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    plugin.set_mixed_precision("bf16")
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.cpu_ram_efficient_loading is False
    model = tiny_model(40)
    plugin.set_auto_wrap_policy(model)
    policy = plugin.auto_wrap_policy
    wrapped = policy.keywords["transformer_layer_cls"]
    assert wrapped == {type(model.model.layers[0])}
