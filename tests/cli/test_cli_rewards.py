"""`diffufix rewards`: what it shows, and files there and back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.store import Store
from diffufix.types import Completion, Group, Prompt, Task


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    with Store.open(tmp_path) as store:
        run = store.begin_run({})
        store.set_model(run, "mini", "cafe" * 8)
        for i in range(6):
            task = Task(f"k{i}", "m.py", "one", "x = 1\n", 0, 1, "statement", "repair", ("t",))
            done = tuple(
                Completion((n,), f"y{n}", "pass" if n < i else "fail", float(n < i))
                for n in range(4)
            )
            moment = time.time() - 4000 * i
            store.add_group(
                run,
                Group(task, Prompt((1,), (), (), 1), done, "cafe" * 8, "coupled", made_at=moment),
            )
        store.finish_run(run, "repaired")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["rewards", *args]) == 0
    return capsys.readouterr().out


def test_what_is_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys)
    assert "6 groups of 6 tasks, 24 completions" in text
    assert "3 groups (50%) have rewards that differ" in text
    assert "age: 6 hours to" in text
    assert "mini cafecafecafe" in text


def test_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(shown(capsys, "--json"))["rewards"]
    assert found["groups"] == 6
    assert found["models"][0]["passes"] == 14
    assert found["size"] > 0


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_export_and_import(project: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    name = f"out.{suffix}"
    assert shown(capsys, "export", name, "--signal") == f"3 groups are in {name}.\n"
    assert shown(capsys, "import", name) == "0 groups added, 3 were known.\n"
    assert "Removed 5 groups with 20" in shown(capsys, "prune", "--keep", "1")
    assert shown(capsys, "import", name) == "3 groups added.\n"
    assert shown(capsys, "export", name, "--limit", "2") == f"2 groups are in {name}.\n"
    assert shown(capsys, "export", name, "--days", "0.1") == f"3 groups are in {name}.\n"


def test_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["rewards"]) == 0
    assert "No groups yet" in capsys.readouterr().out
    assert main(["rewards", "prune"]) == 2
    assert "There is no log" in capsys.readouterr().err
    Store.open(tmp_path).close()
    assert main(["rewards"]) == 0
    assert "No groups yet" in capsys.readouterr().out
    assert main(["rewards", "export", "x.csv"]) == 2
    assert "*.jsonl or *.parquet" in capsys.readouterr().err
    (tmp_path / "x.jsonl").write_text("{}\n")
    assert main(["rewards", "import", "x.jsonl"]) == 2
    assert "line 1" in capsys.readouterr().err
