"""Exporting: small files, exact loading, nothing left over from before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffufix.errors import CheckpointError, UsageError
from diffufix.model import load_model
from diffufix.model.weights import pack_int8
from diffufix.train.checkpoints import write_model
from diffufix.train.pretrain.export import export
from diffufix.train.pretrain.fresh import make_model, mini_family
from diffufix.train.recipe import Recipe


@pytest.fixture
def run(tokenizer_folder: Path, tmp_path: Path) -> Path:
    model = make_model(Recipe(32, 64, 3, 4, 2), 700)
    write_model(tmp_path / "run" / "model", model, mini_family(), tokenizer_folder)
    return tmp_path / "run"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = load_model(folder, device="cpu", dtype="float32").state_dict()
    state.pop("lm_head.weight")
    return state


@pytest.mark.parametrize("limit", [10**9, 30_000])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_loading_gives_exactly_what_was_stored(
    run: Path, tmp_path: Path, dtype: str, limit: int
) -> None:
    made = export(run, tmp_path / "made", dtype, limit)
    trained, loaded = weights(run / "model"), weights(tmp_path / "made")
    assert made.parameters == sum(tensor.numel() for tensor in trained.values())
    assert (made.files > 1) == (limit < 10**6)
    packed = pack_int8(trained)
    for name, tensor in trained.items():
        if dtype == "int8":
            scale = packed.get(f"{name}.scale")
            tensor = packed[name].float() * (1 if scale is None else scale[:, None])
        elif dtype == "bfloat16":
            tensor = tensor.bfloat16().float()
        assert torch.equal(loaded[name], tensor), name
    beside = tmp_path / "any"
    beside.touch()
    for file in (tmp_path / "made").glob("*.safetensors"):
        assert file.stat().st_mode == beside.stat().st_mode
        largest = max(t.numel() for t in trained.values()) * 4
        assert file.stat().st_size <= max(limit, largest) + 5000


def test_exporting_again_replaces_other_files(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "made", "float32", 30_000)
    made = export(run, tmp_path / "made", "bfloat16")
    assert made.files == 1
    assert sorted(f.name for f in (tmp_path / "made").iterdir()) == [
        "config.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert weights(tmp_path / "made")


def test_mistakes(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no trained model"):
        export(tmp_path / "nothing", tmp_path / "made")
    with pytest.raises(UsageError, match="no dtype 'int4'"):
        export(run, tmp_path / "made", "int4")
    with pytest.raises(UsageError, match="the model itself"):
        export(run, run / "model")
