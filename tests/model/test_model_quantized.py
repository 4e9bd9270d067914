"""Weights of eight bits: memory, nearness to the plain model, decoding, adapters beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffufix.decode import infill
from diffufix.errors import PrerequisiteError
from diffufix.model import load_model
from diffufix.model.devices import choose_device
from diffufix.model.quantized import bytes_of, quantisation
from diffufix.types import Canvas
from tests.support.checkpoints import make_dream_checkpoint
from tests.support.lora import write_lora

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("model"), hidden=128, scale=0.05)


def test_int8_is_near_and_smaller(folder: Path) -> None:
    pytest.importorskip("torchao")
    plain = load_model(folder, device="cpu", dtype="float32")
    small = load_model(folder, device="cpu", dtype="int8")
    ids = torch.arange(4, 24)[None]
    with torch.inference_mode():
        wanted, got = plain(ids).log_softmax(-1), small(ids).log_softmax(-1)
    assert float((wanted - got).abs().max()) < 0.02 * float(wanted.abs().max())
    weight = small.get_parameter("model.layers.0.mlp.up_proj.weight")
    assert type(weight).__module__.startswith("torchao")
    assert small.model.embed_tokens.weight.dtype == torch.float32
    canvas = Canvas((5, 6, 7), (8, 9))
    fills = infill(small, canvas, 3, lengths=[4], refresh=2, temperature=1.0)
    assert all(len(fill.ids) == 4 for fill in fills)
    assert small.fingerprint == plain.fingerprint


def test_an_adapter_stays_beside_int8_weights(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    adapter = write_lora(folder, tmp_path / "adapter")
    wanted = load_model(folder, device="cpu", dtype="float32", adapter=adapter)
    got = load_model(folder, device="cpu", dtype="int8", adapter=adapter)
    base = load_model(folder, device="cpu", dtype="float32")
    ids = torch.arange(4, 24)[None]
    with torch.inference_mode():
        change = (wanted(ids) - base(ids)).abs().max()
        assert float((wanted(ids) - got(ids)).abs().max()) < 0.5 * float(change)


def test_what_cannot_be_quantised_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quantisation("bfloat16", CPU) is None
    with pytest.raises(PrerequisiteError, match="int4 weights need a CUDA device") as caught:
        quantisation("int4", choose_device("cpu"))
    assert "int8" in caught.value.hint
    monkeypatch.setitem(__import__("sys").modules, "torchao.quantization", None)
    with pytest.raises(PrerequisiteError, match="need torchao") as caught:
        quantisation("int8", CPU)
    assert "diffufix[quantize]" in caught.value.hint


def test_memory_of_a_7b_model() -> None:
    parameters, embedded = 7_615_616_512, 152_064 * 3584
    assert bytes_of(parameters, embedded, "int8", 2) == pytest.approx(8.16e9, rel=0.01)
    assert bytes_of(parameters, embedded, "int4", 2) == pytest.approx(4.86e9, rel=0.01)
