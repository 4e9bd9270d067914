"""Policy gradients on several GPUs: groups of the log, shared out over processes by accelerate.

    diffufix train --self-play --method coupled --steps 1 --tasks 256    # collect, on one GPU
    accelerate launch --config_file ddp.yaml -m diffufix.train.rl.several --out tuned
    diffufix repair --adapter tuned

Sampling and tests are no part of it: it takes what these very weights sampled, once, and none of
the functions that `diffufix train` holds out. Every process reads the log and the model; the first
one writes. Weights are whole in every process (recipes/ddp.yaml) or shared out (recipes/fsdp.yaml).
Reads `.diffufix/` of the project; writes the folder `out`: an adapter, or a checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffufix.config import load_settings
from diffufix.errors import DiffufixError
from diffufix.model import load_model
from diffufix.model.checkpoint import LoadedModel
from diffufix.registry.policy import Policy, choose_policy
from diffufix.store import Store
from diffufix.store.trajectories import read_groups
from diffufix.train.pretrain.trainer import make_accelerator
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.learn import prepare, write_weights
from diffufix.train.rl.methods import POLICY, make_method
from diffufix.train.rl.replay import nothing
from diffufix.train.rl.tasks import is_held_out
from diffufix.train.tracking import Tracker, say
from diffufix.types import Group

MOST = 20_000  # groups, the newest


def improve(root: Path, policy: Policy, plan: TrainConfig, out: Path) -> dict[str, float]:
    """One pass over the groups; called by every process. Returns the last step's numbers.

    Raises UsageError where the log holds nothing of these weights, StoreError, CheckpointError,
    PrerequisiteError, TrainingError.
    """
    accelerator = make_accelerator(plan.device)
    chief = accelerator.is_main_process
    model = _load(policy, torch.bfloat16 if accelerator.device.type == "cuda" else torch.float32)
    groups = _groups(root, model.fingerprint, plan.method)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)  # an adapter begins alike in all processes
        prepare(model, plan)
    method = make_method(plan.tuning, model, (), (), accelerator)
    last = -(-len(groups) // plan.tasks)
    metrics: dict[str, float] = {}
    folder = out if chief else out / f"process-{accelerator.process_index}"
    with Tracker(folder, 0, last, every=1, quiet=not chief, tensorboard=plan.tensorboard) as rows:
        for step in range(last):
            metrics = method.update(groups[step * plan.tasks : (step + 1) * plan.tasks], step)
            rows.add(metrics.pop("loss", 0.0), 0)
            rows.row(**metrics)
    state = gathered(model)
    if chief:
        _write(policy, plan, state, out)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return metrics


def gathered(model: torch.nn.Module) -> dict[str, Tensor]:
    """What is trained, whole, on the CPU; called by every process."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            value: Any = parameter.detach()
            found[name] = (value.full_tensor() if hasattr(value, "full_tensor") else value).cpu()
    return found


def _load(policy: Policy, dtype: torch.dtype) -> LoadedModel:
    """On the CPU: accelerate moves it, or its share, to where it belongs."""
    model = load_model(policy.checkpoint, device="cpu", dtype=dtype, adapter=policy.adapter)
    model.name = policy.name
    return model


def _groups(root: Path, fingerprint: str, method: str) -> list[Group]:
    with Store.open_strictly(root, create=False) as store:
        found = [
            group
            for group in read_groups(store, model=fingerprint, with_signal=True, limit=MOST)
            if group.estimator == method
            and all(one.behaviour for one in group.completions)
            and not is_held_out(f"{group.task.path}::{group.task.qualname}")
        ]
    if not found:
        raise nothing()
    return found


def _write(policy: Policy, plan: TrainConfig, state: Mapping[str, Tensor], out: Path) -> None:
    """Through a model of this process's own: another one's may be in pieces."""
    whole = _load(policy, torch.float32)
    adapted = prepare(whole, plan)
    whole.load_state_dict(state, strict=False)
    write_weights(out, whole, adapted)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "diffufix.train.rl.several", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--project", type=Path, default=Path.cwd())
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--model", help="checkpoint; as for `diffufix train`")
    parser.add_argument("--adapter", help="what was trained on top of it, or none")
    parser.add_argument("--method", choices=POLICY, default="coupled")
    parser.add_argument("--tasks", type=int, default=32, help="groups of an update")
    parser.add_argument("--inner", type=int, default=2, help="steps on the same groups")
    parser.add_argument("--lr", type=float, default=0.0)
    parser.add_argument("--beta", type=float)
    parser.add_argument("--lora", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--tensorboard", action="store_true")
    given = vars(parser.parse_args(argv))
    project, out = given.pop("project"), given.pop("out")
    chosen = {key: given.pop(key) for key in ("model", "adapter")}
    try:
        settings = load_settings(project, (), chosen)
        improve(settings.root, choose_policy(settings), TrainConfig(**given), out)
    except DiffufixError as error:
        say(f"error: {error.message}\n{error.hint}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
