"""Which weights `--model` and `--adapter` mean; adapters are written by peft itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diffufix.config import Settings
from diffufix.errors import CheckpointError, UsageError
from diffufix.model import load_model
from diffufix.model.checkpoint import fingerprint_of
from diffufix.registry.cards import Card
from diffufix.registry.models import Registry
from diffufix.registry.policy import choose_policy
from tests.support.checkpoints import make_dream_checkpoint
from tests.support.lora import write_lora


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("hub") / "Dream-tiny")


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(base, tmp_path_factory.mktemp("lora") / "adapter")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("full") / "tuned", seed=1)


def copy_of(folder: Path) -> Callable[[Path], object]:
    return lambda target: shutil.copytree(folder, target, dirs_exist_ok=True)


@pytest.fixture
def models(base: Path, lora: Path, full: Path, tmp_path: Path) -> Registry:
    registry, stands_on = Registry(tmp_path), fingerprint_of(base)
    registry.add(Card("soft", "lora", stands_on, str(base)), copy_of(lora))
    registry.add(Card("hard", "full", stands_on, str(base)), copy_of(full))
    registry.add(Card("alien", "lora", "0" * 32, "mini"), copy_of(lora))
    return registry


def ask(models: Registry, base: Path, adapter: str = "") -> Settings:
    return Settings(root=models.root, model=str(base), adapter=adapter)


def logits(model: torch.nn.Module) -> torch.Tensor:
    return model(torch.arange(10)[None])


def test_without_anything_it_is_the_model_as_it_is(models: Registry, base: Path) -> None:
    for adapter in ("", "none"):
        policy = choose_policy(ask(models, base, adapter))
        assert (policy.checkpoint, policy.adapter, policy.note) == (base, None, "")
        assert policy.load("cpu").fingerprint == fingerprint_of(base)


@pytest.mark.parametrize("name", ["soft", "hard"])
def test_what_is_adopted_is_used_and_said(models: Registry, base: Path, full: Path, name) -> None:
    models.adopt(name)
    policy = choose_policy(ask(models, base))
    assert policy.name == f"Dream-tiny+{name}"
    assert policy.note == f"using {name}, which was trained here; --adapter none leaves it out"
    model = policy.load("cpu")
    assert model.name == policy.name
    plain = load_model(base, device="cpu")
    wanted = (
        load_model(base, device="cpu", adapter=models.path(name))
        if name == "soft"
        else load_model(full, device="cpu")
    )
    assert torch.equal(logits(model), logits(wanted))
    assert not torch.equal(logits(model), logits(plain))
    assert model.fingerprint == wanted.fingerprint
    assert choose_policy(ask(models, base, "none")).name == str(base)
    models.rollback(fingerprint_of(base))
    assert choose_policy(ask(models, base)).note == ""


def test_by_name_and_by_folder(models: Registry, base: Path, lora: Path) -> None:
    for adapter in ("soft", str(lora)):
        policy = choose_policy(ask(models, base, adapter))
        assert policy.adapter is not None
        assert policy.note == ""
        assert policy.load("cpu").fingerprint != fingerprint_of(base)
    assert choose_policy(ask(models, base, "hard")).checkpoint == models.path("hard")


def test_only_where_it_fits(models: Registry, base: Path, full: Path) -> None:
    models.adopt("alien")
    assert choose_policy(ask(models, base)).note == ""
    with pytest.raises(CheckpointError, match="alien was trained for mini"):
        choose_policy(ask(models, base, "alien"))
    models.adopt("soft")
    assert choose_policy(ask(models, full)).note == ""  # another model: not for that one


def test_mistakes(models: Registry, base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no adapter 'sofd'") as caught:
        choose_policy(ask(models, base, "sofd"))
    assert "alien, hard, soft" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="neither an adapter nor a checkpoint"):
        choose_policy(ask(models, base, str(tmp_path / "empty")))


def test_an_adopted_one_that_is_damaged_is_said_with_the_way_back(
    models: Registry, base: Path
) -> None:
    models.adopt("soft")
    (models.path("soft") / "card.json").unlink()
    with pytest.raises(CheckpointError, match="adopted model cannot be used") as caught:
        choose_policy(ask(models, base))
    assert "rollback" in caught.value.hint
    assert choose_policy(ask(models, base, "none")).adapter is None
    models.rollback(fingerprint_of(base))
    assert choose_policy(ask(models, base)).adapter is None
