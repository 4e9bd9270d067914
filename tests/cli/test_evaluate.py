"""`diffufix evaluate` on suites of our own: runs, tables, comparisons, sweeps, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from diffufix.cli import main
from diffufix.evaluation.types import RepairCase
from tests.support import suites
from tests.support.checkpoints import make_dream_checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny", hidden=32, scale=0.3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_suites_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "suites", "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)["suites"]}
    assert {
        "humaneval",
        "humaneval+",
        "mbpp",
        "mbpp+",
        "humanevalfix",
        "quixbugs",
        "bugsinpy",
    } < names
    assert {"bigcodebench-hard-instruct", "infilling-span", "real-bugs"} < names


def test_the_publishers_solutions_from_the_command_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suites.humaneval_plus(here / "own.jsonl")
    assert main(["evaluate", "own.jsonl", "--check", "--sandbox=local"]) == 0
    out = capsys.readouterr().out
    assert "| plus pass@1" in out
    assert "100.0%" in out
    assert "0 of 6" in out  # broken programs that pass
    folder = here / "evaluation" / "humaneval+-publisher-s-solutions"
    assert {"run.json", "rows.jsonl", "summary.json", "report.md"} <= {
        p.name for p in folder.iterdir()
    }


def test_data_whose_solutions_do_not_pass_is_not_sound(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suites.humaneval(here / "own.jsonl")
    row = json.loads((here / "own.jsonl").read_text().splitlines()[0])
    broken = row["test"].replace("def check(candidate):", "def check(candidate):\n    1 / 0")
    (here / "own.jsonl").write_text(json.dumps(row | {"test": broken}) + "\n")
    assert main(["evaluate", "own.jsonl", "--check", "--sandbox=local"]) == 1
    assert "Some solution of the publisher's does not pass here" in capsys.readouterr().err


def test_samples_sweeps_and_comparisons(
    here: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suites.humaneval(here / "own.jsonl")
    run = ["evaluate", "own.jsonl", f"--model={tiny}", "--max-tokens=12", "--sandbox=local",
           "--device=cpu"]  # fmt: skip
    assert main([*run, "-n", "2", "--temperature=1", "--out=a", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"]["settings"]["style"] == "instruct"
    assert told["summary"]["rates"]["base pass@1"]["cases"] == 3
    assert len(told["cases"][0]["samples"]) == 2
    assert 0 <= told["summary"]["arness"]["global_arness"] <= 1
    assert main([*run, "-n", "2", "--temperature=0", "--style=base", "--out=b"]) == 0
    assert len(json.loads((here / "b" / "rows.jsonl").read_text().split("\n")[0])["samples"]) == 1
    capsys.readouterr()
    assert main(["evaluate", "compare", "a", "b"]) == 0
    said = capsys.readouterr().out
    assert "base pass@1" in said
    assert "their settings differ" in said
    assert main(["evaluate", "sweep", *run[1:], "--temperature=0.2,1", "-n", "2", "--limit=1",
                 "--out=s"]) == 0  # fmt: skip
    assert "global AR-ness" in capsys.readouterr().out
    assert {"sweep.md", "sweep.json", "t0.2", "t1"} <= {p.name for p in (here / "s").iterdir()}


def test_what_repair_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffufix.evaluation import repairing

    told: list[list[str]] = []

    def one(case: RepairCase, plan: repairing.RepairPlan, environments: object) -> dict[str, Any]:
        told.append(plan.command(case, ""))
        return {"id": case.id, "green": False, "right": False, "called": False}

    monkeypatch.setattr(repairing, "run_case", one)
    suites.humanevalfix(here / "own.jsonl")
    monkeypatch.setenv("DIFFUFIX_SANDBOX", "docker")
    run = ["evaluate", "own.jsonl", "--limit=1", "--max-cost=0", "--image=mine", "--out=r"]
    assert main([*run, "--yes", "--", "--accept=plausible"]) == 0
    assert {"--yes", "--max-cost=0.0", "--accept=plausible"} <= set(told[0])
    assert {"--sandbox=docker", "--image=mine"} <= set(told[0])
    kept = json.loads((here / "r" / "run.json").read_text())
    assert kept["settings"]["options"] == ["--max-cost=0.0", "--accept=plausible"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "There is no suite 'nothing'"),
        (["humanevall"], "Did you mean humaneval?"),
        (["humaneval"], "The data of HumanEval is not here"),
        (["own.jsonl", "--only=Own/9"], "has no case 'Own/9'"),
        (["own.jsonl", "--model=mini", "--style=instruct"], "mini is no instruct checkpoint"),
        (["own.jsonl", "--", "--all"], "is passed to nobody"),
        (["sweep", "own.jsonl", "--model=mini"], "searches and does not sample"),
        (["sweep", "own.jsonl", "--temperature=hot"], "is no range of temperatures"),
        (["compare", "own.jsonl", "own.jsonl"], "holds no run"),
    ],
)
def test_bad_input_is_told_with_the_next_step(
    here: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    suites.humaneval(here / "own.jsonl")
    assert main(["evaluate", *words]) == 2
    error = capsys.readouterr().err
    assert said in " ".join(error.split())
    assert "hint: " in error
    assert "Traceback" not in error
