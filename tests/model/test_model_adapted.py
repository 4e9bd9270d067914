"""An adapter beside weights that are not float32: what is used is what was trained and measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffufix.model import load_model
from diffufix.model.adapted import AdaptedLinear, detach
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.learn import prepare
from diffufix.train.rl.lora import add_lora, save_lora
from tests.support.checkpoints import make_dream_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("adapted") / "base", scale=0.02)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A live model in bfloat16 with a small adapter, and the adapter's folder."""
    model = load_model(base, device="cpu", dtype="bfloat16")
    adapted = add_lora(model, rank=4, alpha=8)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.003)
    folder = tmp_path_factory.mktemp("adapter")
    save_lora(adapted, folder)
    return model.eval(), folder


IDS = torch.arange(3, 27).view(2, 12)


def test_what_is_used_is_what_was_trained(base, trained):
    live, folder = trained
    used = load_model(base, device="cpu", dtype="bfloat16", adapter=folder)
    with torch.no_grad():
        assert torch.equal(used(IDS), live(IDS))


def test_a_small_change_is_not_lost(base, trained):
    _, folder = trained
    exact = load_model(base, device="cpu", dtype="float32", adapter=folder).state_dict()
    plain = load_model(base, device="cpu", dtype="float32").state_dict()
    used = load_model(base, device="cpu", dtype="bfloat16", adapter=folder)
    name = "model.layers.0.self_attn.q_proj"
    layer = used.get_submodule(name)
    assert isinstance(layer, AdaptedLinear)
    wanted = exact[name + ".weight"] - plain[name + ".weight"]
    torch.testing.assert_close(layer.b @ layer.a * layer.scale, wanted, atol=1e-7, rtol=1e-3)
    rounded = exact[name + ".weight"].bfloat16().float() - plain[name + ".weight"]
    assert (rounded - wanted).norm() > 0.1 * wanted.norm()  # what merging would lose


def test_it_can_be_taken_away(base, trained):
    used = load_model(base, device="cpu", dtype="bfloat16", adapter=trained[1])
    plain = load_model(base, device="cpu", dtype="bfloat16")
    assert used.state_dict().keys() == plain.state_dict().keys()
    detach(used)
    assert torch.equal(used(IDS), plain(IDS))
    assert not any(isinstance(layer, AdaptedLinear) for layer in used.modules())


@pytest.mark.parametrize("lora", [True, False])
def test_training_goes_on_from_it(base, trained, lora):
    live, folder = trained
    model = load_model(base, device="cpu", dtype="bfloat16", adapter=folder)
    prepare(model, TrainConfig(lora=lora, rank=4))
    with torch.no_grad():
        found, expected = model(IDS).float(), live(IDS).float()
    assert (found - expected).abs().mean() < 0.02 * expected.abs().mean()
    assert any(p.requires_grad for p in model.parameters())
