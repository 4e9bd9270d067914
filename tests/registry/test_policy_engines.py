"""Engines among the parts of `--model`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.registry.policy import base_of, choose_policy


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path, model="mini,ollama:qwen2.5-coder")


def test_a_committee_has_one_local_model_and_engines(settings: Settings) -> None:
    policy = choose_policy(settings)
    assert policy.name == "mini,ollama:qwen2.5-coder"
    assert not policy.alone
    assert [engine.model for engine in policy.engines] == ["qwen2.5-coder"]
    assert policy.load("cpu", beside_engines=True).name == policy.name
    with pytest.raises(UsageError, match="is an engine"):
        policy.load("cpu")
    alone = choose_policy(replace(settings, model="vllm:qwen@https://10.0.0.1:8000"))
    assert alone.alone
    assert alone.note == "code around the holes is sent to 10.0.0.1"


def test_two_local_models_are_none(settings: Settings, tmp_path: Path) -> None:
    two = replace(settings, model=f"mini,{tmp_path},ollama:x")
    with pytest.raises(UsageError, match="names 2 models of this machine"):
        choose_policy(two)


def test_nothing_is_trained_on_an_engine(settings: Settings) -> None:
    with pytest.raises(UsageError, match="is an engine"):
        base_of(settings)
