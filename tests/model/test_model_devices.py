"""Which device and dtype a model gets, and what is said where the machine has not got them."""

from __future__ import annotations

import pytest
import torch

from diffufix.errors import PrerequisiteError
from diffufix.model.devices import (
    WIDE_AT_MOST,
    WORTH_MPS,
    check_memory,
    choose_device,
    choose_dtype,
    flushed,
    free_memory,
)

CPU = torch.device("cpu")


def machine(monkeypatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "parameters", "expected"),
    [
        (False, False, 7 * 10**9, "cpu"),
        (True, False, 1000, "cuda"),
        (False, True, WORTH_MPS, "mps"),
        (False, True, 1_800_000, "cpu"),
    ],
)
@pytest.mark.parametrize("asked", [None, "auto"])
def test_the_device_follows_the_machine(monkeypatch, cuda, mps, parameters, expected, asked):
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device(asked, parameters).type == expected


@pytest.mark.parametrize("asked", ["cuda", "cuda:3", "mps", "mps:0", "gpu", "xpu", "vulkan"])
def test_devices_that_are_not_here_are_errors_with_a_next_step(monkeypatch, asked):
    machine(monkeypatch, cuda=False, mps=False)
    with pytest.raises(PrerequisiteError, match="device") as caught:
        choose_device(asked)
    assert "cpu" in caught.value.hint


def test_a_large_model_is_not_widened_on_a_cpu():
    assert choose_dtype(None, CPU, 1_800_000) == torch.float32
    assert choose_dtype("auto", CPU, WIDE_AT_MOST) == torch.bfloat16
    assert choose_dtype("float32", CPU, WIDE_AT_MOST) == torch.float32
    assert choose_dtype(None, torch.device("cuda")) == torch.bfloat16


def test_weights_that_do_not_fit_are_refused_before_they_are_read():
    free = free_memory(CPU)
    assert free is not None
    check_memory(1000, torch.float32, CPU, "small")
    with pytest.raises(PrerequisiteError, match=r"GB free") as caught:
        check_memory(2 * free, torch.bfloat16, CPU, "huge")
    assert "mini" in caught.value.hint


def _least() -> float:
    return float(torch.tensor(5e-324, dtype=torch.float64) * 1.0)


def test_denormals_are_zero_inside_alone() -> None:
    assert _least() > 0
    with flushed():
        assert _least() == 0
        with flushed():
            assert _least() == 0
        assert _least() == 0
    assert _least() > 0
