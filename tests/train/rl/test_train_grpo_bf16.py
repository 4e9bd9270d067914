"""An update under accelerate's bfloat16 is nearly that in float32."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from diffufix.train.pretrain.fresh import mini_family
from diffufix.train.rl.objectives.coupled_grpo import Learner
from diffufix.train.rl.objectives.group_batch import GRPOSettings
from tests.support.groups import make_groups, prompts
from tests.support.mini import tiny_model


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """accelerate keeps one precision for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def gradient(precision: str, estimator: str) -> tuple[dict[str, float], torch.Tensor]:
    """The metrics of one step, and minus what it moved at a rate of 1."""
    AcceleratorState._reset_state(reset_partial_state=True)
    model = tiny_model(40).requires_grad_(True)
    family = mini_family()
    even = lambda prompt, ids: sum(token % 2 == 0 for token in ids) / len(ids)  # noqa: E731
    groups = make_groups(model, prompts(6), even, estimator=estimator, inner=1, family=family)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    learner = Learner(
        model,
        lambda m: [torch.optim.SGD(m.parameters(), lr=1.0)],
        GRPOSettings.of(estimator, inner=1, beta=0.1, max_norm=math.inf),
        Accelerator(cpu=True, mixed_precision=precision),
        family,
    )
    metrics = learner.update(groups)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert after.dtype == torch.float32
    return metrics, before - after


@pytest.mark.parametrize("estimator", ["coupled", "count"])
def test_the_gradient_in_bfloat16_is_close(estimator: str) -> None:
    exact, wanted = gradient("no", estimator)
    rough, found = gradient("bf16", estimator)
    assert rough["steps"] == exact["steps"] == 1
    assert rough["skipped"] == 0
    assert math.isfinite(rough["loss"])
    assert not torch.equal(found, wanted)  # it was another precision indeed
    assert rough["norm"] == pytest.approx(exact["norm"], rel=0.05)
    assert torch.cosine_similarity(found, wanted, dim=0) > 0.99
    assert float((found - wanted).norm() / wanted.norm()) < 0.1
