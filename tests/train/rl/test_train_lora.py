"""Adapters: they start as nothing, learn alone, and come back through the checkpoint loader."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffufix.model import load_model
from diffufix.model.transformer import Transformer
from diffufix.train.rl.lora import add_lora, checkpoint_blocks, load_lora, save_lora
from diffufix.train.rl.objectives.coupled_grpo import Learner
from diffufix.train.rl.objectives.group_batch import GRPOSettings
from tests.support.checkpoints import make_dream_checkpoint
from tests.support.groups import make_groups, prompts

pytest.importorskip("peft")


def even(prompt: object, ids: tuple[int, ...]) -> float:
    return sum(token % 2 == 0 for token in ids) / len(ids)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("base"), hidden=32, scale=0.2)


def test_an_adapter_learns_and_comes_back_merged(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder, device="cpu")
    ids = torch.arange(20, 40)[None]
    before = model(ids)
    torch.manual_seed(0)  # of the adapter's first weights
    adapted = add_lora(model, rank=4)
    torch.testing.assert_close(model(ids), before)
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}

    asked = prompts(3, width=3, first=20, top=200)
    learner = Learner(
        model,
        lambda m: [torch.optim.Adam([p for p in m.parameters() if p.requires_grad], lr=0.02)],
        GRPOSettings(beta=0.05, max_norm=1.0, sync_every=2),
    )
    for step in range(2):
        metrics = learner.update(make_groups(model, asked, even, seed=step))
        assert metrics["steps"] == 2
    trained = model(ids)
    assert not torch.allclose(trained, before, atol=1e-3)
    for name, parameter in model.named_parameters():
        assert name not in frozen or torch.equal(parameter, frozen[name]), name
    assert len(learner.reference.values) == 2 * 7 * 2  # the adapter alone, two layers

    save_lora(adapted, tmp_path / "adapter", base="base")
    merged = load_model(folder, device="cpu", adapter=tmp_path / "adapter")
    torch.testing.assert_close(merged(ids), trained, atol=2e-4, rtol=1e-3)
    assert merged.fingerprint != model.fingerprint

    again = load_model(folder, device="cpu")
    load_lora(add_lora(again, rank=4), tmp_path / "adapter")
    torch.testing.assert_close(again(ids), trained)


def test_peft_reads_what_was_saved(folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    model = load_model(folder, device="cpu")
    adapted = add_lora(model, rank=2, targets=("q_proj", "down_proj"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
    save_lora(adapted, tmp_path / "adapter")
    ids = torch.arange(20, 30)[None]
    read = PeftModel.from_pretrained(load_model(folder, device="cpu"), str(tmp_path / "adapter"))
    inner = read.base_model.model
    assert isinstance(inner, Transformer)
    torch.testing.assert_close(inner(ids), model(ids))
    with adapted.disable_adapter():
        torch.testing.assert_close(model(ids), load_model(folder, device="cpu")(ids))


def test_checkpointed_blocks_give_the_same_gradients(folder: Path) -> None:
    grads = []
    for wanted in (False, True):
        model = load_model(folder, device="cpu").requires_grad_(True)
        if wanted:
            checkpoint_blocks(model)
        model(torch.arange(20, 40)[None]).logsumexp(-1).sum().backward()
        grads.append([p.grad for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
