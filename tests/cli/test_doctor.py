"""What the doctor says: each check stands alone, failures have a remedy, JSON is as the schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.config import Settings
from diffufix.doctor import Health, HealthCheck, examine, sandboxes
from diffufix.doctor.check import tried
from diffufix.doctor.speed import repair
from diffufix.doctor.suite import inside, outside
from diffufix.errors import PrerequisiteError
from diffufix.repair.types import RepairResult, Status
from diffufix.report import jsondoc
from diffufix.sandbox.bubblewrap import bubblewrap_works

NO_BWRAP = pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")


def test_what_a_check_raises_is_its_result() -> None:
    def broken() -> HealthCheck:
        raise PrerequisiteError("It is not there.", "Install it.")

    check = tried("x", broken)
    assert (check.state, check.found, check.remedy) == (
        Health.ERROR, "It is not there.", "Install it."
    )  # fmt: skip

    def worse() -> HealthCheck:
        raise ValueError("no one foresaw it\nand more")

    assert tried("x", worse).found == "ValueError: no one foresaw it"


def test_without_any_sandbox_it_is_an_error() -> None:
    none = [HealthCheck(name, Health.WARNING, "") for name in ("bubblewrap", "container")]
    settings = Settings(Path("/"))
    assert sandboxes.chosen(none, settings).state is Health.ERROR
    works = [*none, HealthCheck("e2b", Health.OK, "")]
    assert sandboxes.chosen(works, Settings(Path("/"), sandbox="e2b")).state is Health.OK
    check = sandboxes.chosen(works, settings)  # which a repair never takes unasked
    assert (check.state, check.remedy) == (Health.ERROR, "e2b can be used with --sandbox e2b.")
    local = [HealthCheck("bubblewrap", Health.OK, "")]
    assert sandboxes.chosen(local, settings).state is Health.OK
    check = sandboxes.chosen(local, Settings(Path("/"), sandbox="docker"))
    assert (check.state, check.remedy) == (
        Health.ERROR, "bubblewrap can be used with --sandbox local."
    )  # fmt: skip
    unbuilt = HealthCheck("container", Health.WARNING, "not built", "`diffufix env build`")
    check = sandboxes.chosen([*local, unbuilt], Settings(Path("/"), sandbox="docker"))
    assert (check.name, check.state, check.found) == ("isolation", Health.WARNING, "not built")


@NO_BWRAP
def test_the_quick_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    assert main(["doctor", "--quick", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads(jsondoc.schema_text()))
    states = {check["name"]: check["status"] for check in document["checks"]}
    assert document["usable"] is True
    assert states["bubblewrap"] == states["torch"] == "ok"
    assert states["interpreter"] in ("ok", "warning")  # without coverage lines are seen slowly
    assert states["container"] == states["e2b"] == "skipped"
    assert not (tmp_path / ".diffufix").exists()


def test_every_check_is_told_and_quick_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = HealthCheck("fine", Health.OK, "")
    monkeypatch.setattr("diffufix.doctor.rounds._MACHINE", (("a", lambda s: fine, Health.ERROR),))
    monkeypatch.setattr("diffufix.doctor.rounds._PLACES", (("b", lambda s: fine),))
    told: list[str] = []
    found = list(examine(Settings(Path("/")), quick=True, tell=told.append))
    assert told == ["a", "b"]
    assert [check.name for check in found] == ["fine", "fine", "isolation"]


@NO_BWRAP
@pytest.mark.slow
def test_the_suite_inside_and_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside_file = tmp_path / "outside.txt"
    outside_file.write_text("x")
    root = tmp_path / "project"
    root.mkdir()
    (root / "test_m.py").write_text(
        "from pathlib import Path\n\n\ndef test_a():\n    assert 1\n\n\n"
        f"def test_b():\n    assert Path({str(outside_file)!r}).read_text() == 'x'\n"
    )
    settings = Settings(root, sandbox="local")
    check, run = inside(settings)
    assert run is not None
    assert check.data["failing"] == ["test_m.py::test_b"]
    assert outside(settings, run).state is Health.SKIPPED  # the user has not said so
    compared = outside(Settings(root, sandbox="local", trust=True), run)
    assert compared.state is Health.WARNING
    assert compared.data["differ"] == ["test_m.py::test_b"]


@NO_BWRAP
@pytest.mark.slow
def test_a_small_repair_is_done(tmp_path: Path) -> None:
    check = repair(Settings(tmp_path, sandbox="local", model="mini", adapter="none", threshold=0.0))
    assert check.state in (Health.OK, Health.WARNING)  # a busy machine is slow
    assert set(check.data) >= {"fills_per_second", "verdicts_per_second"}
    assert not (tmp_path / ".diffufix").exists()


@pytest.mark.docker
def test_a_small_repair_is_done_in_the_image_of_the_project(
    tmp_path: Path, test_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Settings] = []

    def loop(settings: Settings, listener: object) -> RepairResult:
        tried.append(settings)
        return RepairResult(Status.NOT_REPAIRED)

    monkeypatch.setattr("diffufix.repair.loop.repair", loop)
    repair(Settings(tmp_path, sandbox="docker", image=test_image))
    repair(Settings(tmp_path, sandbox="docker"))  # which is not built
    assert [settings.image for settings in tried] == [test_image, ""]
    started = sandboxes.container(Settings(tmp_path, sandbox="docker", image=test_image))
    assert started.state is Health.OK, started
