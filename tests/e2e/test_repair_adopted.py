"""`diffufix repair` with what was trained in the project: used by itself, said, and left out."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from diffufix.model.checkpoint import fingerprint_of
from diffufix.registry.cards import Card
from diffufix.registry.models import Registry
from diffufix.store import Store
from diffufix.store.trajectories import read_groups
from tests.support.lora import write_lora

SOURCE = "def area(width, height):\n    return width + height\n"
TESTS = "from shapes import area\n\n\ndef test_area():\n    assert area(3, 4) == 12\n"


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So small that the model stays as good as it is."""
    return write_lora("mini", tmp_path_factory.mktemp("lora") / "adapter", scale=1e-4)


def test_the_adopted_adapter_is_used_and_said(tmp_path: Path, lora: Path, diffufix_cli) -> None:
    (tmp_path / "shapes.py").write_text(SOURCE)
    (tmp_path / "test_shapes.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'shapes'\n")
    mini = Path(str(files("diffufix.model"))) / "mini"
    registry = Registry(tmp_path)
    card = Card("shapes-1", "lora", fingerprint_of(mini), "mini")
    registry.add(card, lambda folder: shutil.copytree(lora, folder, dirs_exist_ok=True))

    registry.adopt("shapes-1")

    def repair(*options: str) -> tuple[str, dict[str, Any]]:
        done = diffufix_cli(
            "repair", "--model", "mini", "--budget", "900", "--no-collect", "--json", *options,
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr, json.loads(done.stdout)

    shown, adopted = repair()
    assert "using shapes-1, which was trained here; --adapter none leaves it out" in shown
    assert adopted["model"]["name"] == "mini+shapes-1"
    assert adopted["model"]["hash"] != fingerprint_of(mini)
    shown, without = repair("--adapter", "none")
    assert "shapes-1" not in shown
    assert without["model"]["name"] == "mini"
    assert without["model"]["hash"] == fingerprint_of(mini)
    with Store.open_strictly(tmp_path, create=False) as store:
        assert list(read_groups(store)) == []  # --no-collect
