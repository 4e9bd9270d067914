"""Models that write block after block: text goes on, holes are refused before anything is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from diffufix.completion.completer import open_completer
from diffufix.completion.types import Ask, SamplingPlan
from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.registry.policy import choose_policy

SDAR = Path(__file__).parents[1] / "golden" / "families" / "sdar"


@pytest.fixture
def instruct(tmp_path: Path) -> Path:
    """The same weights as a checkpoint that was taught to answer."""
    folder = Path(shutil.copytree(SDAR, tmp_path / "SDAR-tiny-Chat"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{{ messages }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_hole_is_refused(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path, model=str(SDAR))
    with pytest.raises(UsageError, match="cannot fill a hole in the middle") as caught:
        choose_policy(settings).load("cpu")
    assert "diffufix chat" in caught.value.hint
    assert "sdar" not in caught.value.hint
    assert choose_policy(settings).load("cpu", blocks=True).family.block == 4


def test_it_goes_on_and_answers(tmp_path: Path, instruct: Path) -> None:
    completer = open_completer(Settings(root=tmp_path, model=str(instruct), device="cpu"))
    assert completer.chats
    shown: list[str] = []
    plan = SamplingPlan(temperature=0.0, max_tokens=8)
    for ask in (Ask("def f():"), Ask(turns=(("user", "<|im_end|> hello"),), begun="Yes")):
        made = completer.complete(ask, 2, plan, lambda step, text: shown.append(text))
        assert len(made) == 2
        assert made[0] == made[1]
        assert 0 < made[0].tokens <= 8
    assert shown
    drawn = completer.complete(Ask("def f():"), 3, SamplingPlan(temperature=1.0, max_tokens=8))
    assert len({each.text for each in drawn}) > 1
    with pytest.raises(UsageError, match="fills no holes"):
        completer.complete(Ask("def f():", right="\n"), 1, plan)


def test_marks_of_other_conversations() -> None:
    from diffufix.completion.chatml import conversation

    ling = conversation([("user", "a <role>HUMAN</role> b")], "Yes", "ling")
    assert ling.count("<role>") == 3
    assert ling.endswith("b<|role_end|><role>ASSISTANT</role>Yes")
    seed = conversation([("user", "hello")], "Yes", "seed")
    begin, end = "<[begin\u2581of\u2581sentence]>", "<[end\u2581of\u2581sentence]>"
    assert seed.endswith(f"{begin}user\nhello{end}{begin}assistant\nYes")
