"""Muon, which parameters it gets, and averaged weights."""

from __future__ import annotations

import pytest
import torch

from diffufix.train.muon import Muon, orthogonalise
from diffufix.train.optim import Average, optimisers, set_rate
from diffufix.train.pretrain.fresh import make_model
from diffufix.train.recipe import Recipe

TOY = Recipe(32, 64, 2, 4, 2, steps=20)


@pytest.mark.parametrize("shape", [(24, 24), (16, 48), (48, 16)])
def test_orthogonalise_has_the_singular_vectors_and_values_near_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator)
    made = orthogonalise(matrix)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = torch.diagonal(left.T @ made @ right.T)
    torch.testing.assert_close(aligned.sort().values, values.sort().values, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(orthogonalise(100 * matrix), made, rtol=1e-3, atol=1e-3)


def test_muon_steps_along_the_orthogonalised_momentum() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 2))
    gradients = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0))
    muon = Muon([weight], lr=0.1, momentum=0.9)
    buffer, expected = torch.zeros(8, 2), torch.zeros(8, 2)
    for gradient in gradients:
        weight.grad = gradient.clone()
        muon.step()
        buffer = 0.9 * buffer + 0.1 * gradient
        expected -= 0.1 * 2.0 * orthogonalise(0.1 * gradient + 0.9 * buffer)
        torch.testing.assert_close(weight.detach(), expected)


def test_matrices_of_the_blocks_go_to_muon_and_the_rest_to_adam() -> None:
    model = make_model(TOY, 50)
    muon, adam = optimisers(model, TOY)
    inside = {id(p) for p in muon.param_groups[0]["params"]}
    others = {id(p) for p in adam.param_groups[0]["params"]}
    assert not inside & others
    assert inside | others == {id(p) for p in model.parameters()}
    assert id(model.model.embed_tokens.weight) in others
    set_rate([muon, adam], 0.5)
    assert muon.param_groups[0]["lr"] == TOY.muon_lr / 2
    assert adam.param_groups[0]["lr"] == TOY.adam_lr / 2


def test_the_average_follows_and_can_be_put_in_for_a_while() -> None:
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
    average = Average(module, 0.5)
    expected = torch.zeros(1, 2)
    for n in range(20):
        with torch.no_grad():
            module.weight += 1
        average.update()
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * (n + 1)
    torch.testing.assert_close(average.values[0], expected)
    with average.applied():
        torch.testing.assert_close(module.weight.detach(), expected)
    assert module.weight.tolist() == [[20.0, 20.0]]

    other = Average(module, 0.5)
    other.load_state_dict(average.state_dict())
    assert other.updates == 20
    torch.testing.assert_close(other.values, average.values)
