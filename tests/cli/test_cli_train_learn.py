"""`diffufix train` on a small real project, from its tests to a model in the registry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.registry.models import Registry
from diffufix.store import Store
from diffufix.store.overview import summary
from diffufix.store.trajectories import read_groups
from diffufix.train.rl import evaluator, gate
from diffufix.train.rl.self_play import Wanted
from tests.support.practised import write_project

SMALL = ("--model", "mini", "--held-out", "2", "--tasks", "2", "--group", "4", "--steps", "2")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("made") / "sums")


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as the working folder; fewer tasks than usual are enough."""
    monkeypatch.chdir(project)
    wanted = Wanted(tasks=12)
    monkeypatch.setattr(
        "diffufix.train.rl.self_play.Wanted", lambda **values: replace(wanted, **values)
    )
    return project


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int) -> tuple[str, str]:
    got = main(["train", *SMALL, *argv])
    shown = capsys.readouterr()
    assert got == code, shown.out + shown.err
    return shown.out, shown.err


def test_from_tests_to_a_model_in_the_registry(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pleased(*args: object, **more: object) -> object:
        return replace(compare(*args, **more), better=True)  # type: ignore[arg-type]

    compare = gate.compare
    out, err = run(capsys, "--self-play", "--json", "--minutes", "0", code=1)
    made = json.loads(out)["training"][0]
    assert (made["status"], made["name"], made["before"]) == ("kept", "sums-1", "mini")
    assert made["learned"]["steps"] == 2
    assert made["gate"]["tasks"] == made["held_out"] > 0
    assert "held-out tasks" in err
    assert Path(made["report"][0]).name == "report.html"
    registry = Registry(here)
    card = registry.card("sums-1")
    assert (card.kind, card.base, card.parent_name) == ("full", card.parent, "")
    assert card.data["completions"] == 16
    assert registry.in_use() == {}
    with Store.open_strictly(here) as store:
        found = summary(store)
        groups = list(read_groups(store))
    assert (found.groups, found.completions) == (4, 16)
    assert groups[-1].model == card.parent  # the first step's are of the model as it was
    assert not (Path(made["folder"]) / "state.pt").exists()

    monkeypatch.setattr(evaluator, "compare", pleased)
    out, _ = run(capsys, "--self-play", "--method", "answers", code=0)
    assert "sums-2 is in use from now on" in out
    second = registry.card("sums-2")
    assert registry.in_use() == {second.base: "sums-2"}
    assert second.fingerprint not in (second.base, card.fingerprint)
    # What follows starts from it, and does not replace it unless it is better.
    out, err = run(capsys, "--self-play", "--method", "repo", "--no-adopt", code=1)
    assert "using sums-2, which was trained here" in err
    third = registry.card("sums-3")
    assert (third.parent_name, third.parent) == ("sums-2", second.fingerprint)
    assert registry.in_use() == {second.base: "sums-2"}


def test_from_the_log(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open_strictly(here) as store:  # what the model samples need not pass
        group = next(iter(read_groups(store)))
        lucky = replace(group.completions[0], state="pass", reward=1.1)
        others = group.completions[1:]
        store.add_group(None, replace(group, completions=(lucky, *others), made_at=1.0))
    out, err = run(capsys, "--adapter", "none", "--json", "--no-adopt", code=1)
    made = json.loads(out)["training"][0]
    assert "learning: rft, from" in err
    assert made["learned"]["method"] == "rft"
    assert made["learned"]["groups"] > 0


def test_nothing_to_learn_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path / "sums")
    monkeypatch.chdir(tmp_path / "sums")
    assert "--self-play" in run(capsys, code=2)[1]
    (tmp_path / "sums" / "tests" / "test_sums.py").write_text("def test_it():\n    assert False\n")
    assert "No test of this project passes" in run(capsys, "--self-play", code=2)[1]


def test_a_dry_run_keeps_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Registry(here).names()
    out, _ = run(capsys, "--self-play", "--adapter", "none", "--dry-run", code=0)
    assert "functions" in out
    assert "per second" in out
    assert Registry(here).names() == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--method", "copuled", "--self-play"), "coupled"),
        (("--name", "none"), "cannot be called"),
        (("--minutes", "0", "--steps", "0", "--self-play"), "when to stop"),
        (("--adapter", "nothing"), "no adapter"),
    ],
)
def test_mistakes(
    argv: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    assert message in run(capsys, *argv, code=2)[1]
    assert not (tmp_path / ".diffufix" / "training").exists()
