"""What is done with runs that are over: apply, undo, commits, lists, differences, removal."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.repair.types import Offer, RepairResult
from diffufix.source.patch import make_patch
from diffufix.store import Store
from tests.support.finished import BROKEN, MENDED, repaired

OTHER = BROKEN.replace("2", "3 - 2")


def git(project: Path, *words: str) -> str:
    run = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
    return subprocess.run(run, cwd=project, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("NAME", "t"), ("EMAIL", "t@t")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "as it is")
    return project


def twice(settings, listener) -> RepairResult:
    """The same run with a second patch, which is not confirmed."""
    result = repaired(settings, listener)
    assert result.patch is not None
    spans = tuple(("m.py", 0, len(BROKEN), text) for text in (MENDED, OTHER))
    second = make_patch({"m.py": BROKEN}, {"m.py": OTHER})
    offers = (
        Offer(1, result.patch, 0.9, confirmed=True, spans=spans[:1], evidence={"words": []}),
        Offer(2, second, 0.5, spans=spans[1:], evidence={"words": ["odd"]}),
    )
    result = replace(result, offers=offers, probability=0.9)
    with Store.open(settings.root) as store:
        assert result.run_id is not None
        store.finish_run(result.run_id, result.status, result.document())
    return result


def test_the_latest_patch_is_written_without_a_search(project: Path, search, capsys) -> None:
    calls = search(repaired)
    assert main(["apply"]) == 2
    assert "Nothing was run here yet" in capsys.readouterr().err
    main(["repair", "-q"])
    assert main(["apply"]) == 0
    assert (project / "m.py").read_text() == MENDED
    assert len(calls) == 1
    assert main(["runs", "list"]) == 0
    assert "written" in capsys.readouterr().out
    assert main(["undo"]) == 0
    assert (project / "m.py").read_text() == BROKEN
    main(["runs", "list"])
    assert "taken back" in capsys.readouterr().out


def test_another_patch_is_written_with_a_warning(project: Path, search, capsys) -> None:
    search(twice)
    main(["repair", "-q"])
    assert main(["apply", "1", "2"]) == 0
    assert (project / "m.py").read_text() == OTHER
    assert "This patch is not confirmed: run the whole suite" in capsys.readouterr().err
    main(["undo"])
    capsys.readouterr()
    assert main(["runs", "diff", "1", "1", "2"]) == 0
    assert "++    return 3 - 2" in capsys.readouterr().out
    assert main(["runs", "diff"]) == 0
    assert capsys.readouterr().out.startswith("--- a/m.py")
    assert main(["runs", "diff", "1", "7"]) == 2
    assert main(["apply", "1", "2", "--branch", "x"]) == 2


def test_a_branch_of_its_own_leaves_all_else(repository: Path, search, capsys) -> None:
    (repository / "new.txt").write_text("not committed")
    calls = search(repaired)
    assert main(["repair", "-q", "--branch", "fix/one"]) == 0
    assert "Committed as" in capsys.readouterr().out
    assert (repository / "m.py").read_text() == BROKEN
    assert git(repository, "rev-parse", "--abbrev-ref", "HEAD").strip() == "main"
    assert git(repository, "show", "fix/one:m.py") == MENDED
    assert git(repository, "status", "--porcelain").split() == ["??", "new.txt"]
    told = git(repository, "log", "-1", "--format=%B", "fix/one")
    assert told.startswith("Fix one: 1 failing test passes\n")
    assert "Failed before this change:\n  test_m.py::test_one\n" in told
    assert "2 other tests pass as before, and nothing else broke." in told
    assert "  own order, hash seed 0" in told
    assert main(["apply", "--branch", "fix/one"]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["repair", "-q", "--branch", "fix/one"]) == 2
    assert "already" in capsys.readouterr().err
    assert len(calls) == 1  # the second time it is told before the search


def test_a_commit_takes_nothing_else_along(repository: Path, search, capsys) -> None:
    (repository / "n.py").write_text("x = 1\n")
    git(repository, "add", "n.py")
    search(repaired)
    assert main(["repair", "-q", "--commit"]) == 0
    assert (repository / "m.py").read_text() == MENDED
    assert git(repository, "show", "--stat", "--format=", "HEAD").split()[0] == "m.py"
    assert git(repository, "status", "--porcelain").split() == ["A", "n.py"]


def test_a_commit_that_git_refuses_leaves_the_patch_written(
    repository: Path, search, capsys, monkeypatch, tmp_path: Path
) -> None:
    git(repository, "config", "user.useConfigOnly", "true")
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    search(repaired)
    assert main(["repair", "-q", "--commit"]) == 2
    err = capsys.readouterr().err
    assert "user.name" in err
    assert "The patch is written; `diffufix undo` takes it back." in err
    assert (repository / "m.py").read_text() == MENDED
    assert main(["undo"]) == 0
    assert (repository / "m.py").read_text() == BROKEN


def test_a_message_speaks_of_the_tests_that_were_run(repository: Path, search) -> None:
    def some(settings, listener) -> RepairResult:
        return replace(repaired(settings, listener), selected=("test_m.py", "-k", "one or two"))

    search(some)
    assert main(["repair", "-q", "--branch", "fix/one"]) == 0
    told = git(repository, "log", "-1", "--format=%B", "fix/one")
    assert "Seen in runs of `pytest test_m.py -k 'one or two'`, beside" in told
    assert "whole suite" not in told
    assert "nothing else broke" not in told


def test_no_commit_of_what_is_only_plausible(repository: Path, search, capsys) -> None:
    def weak(settings, listener) -> RepairResult:
        return replace(repaired(settings, listener), probability=0.1, threshold=0.8)

    search(weak)
    main(["repair", "-q", "--commit"])
    assert "--commit --accept plausible" in capsys.readouterr().out
    assert git(repository, "log", "--format=%s").strip() == "as it is"


def test_a_dirty_file_says_where_the_patch_is(repository: Path, search, capsys) -> None:
    (repository / "m.py").write_text(BROKEN)
    git(repository, "rm", "-q", "--cached", "m.py")
    git(repository, "commit", "-qm", "gone")
    git(repository, "add", "m.py")
    search(repaired)
    assert main(["repair", "-q", "--apply"]) == 2
    assert "`diffufix apply 1 --force` writes it" in capsys.readouterr().err
    assert main(["apply", "1", "--force"]) == 0
    assert (repository / "m.py").read_text() == MENDED


def test_runs_are_removed_when_asked(project: Path, search, capsys) -> None:
    search(repaired)
    main(["repair", "-q"])
    assert main(["runs", "rm", "1"]) == 2  # nobody to ask
    assert main(["runs", "rm", "1", "--yes"]) == 0
    capsys.readouterr()
    assert main(["runs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == []


def test_a_crlf_file_is_committed_as_the_repository_has_it(project: Path, search) -> None:
    from diffufix.source.commit import Proof, commit

    git(project, "init", "-q", "-b", "main")
    git(project, "config", "user.name", "t")
    git(project, "config", "user.email", "t@t")
    (project / "m.py").write_bytes(BROKEN.encode())
    git(project, "add", "-A")
    git(project, "commit", "-qm", "x")
    windows = BROKEN.replace("\n", "\r\n")
    (project / "m.py").write_bytes(windows.encode())
    patch = make_patch({"m.py": windows}, {"m.py": windows.replace("2", "1")})
    proof = Proof(("t",), 0, ("own order",), True, None, (), None)
    commit(patch, project, proof, "fix")
    assert git(project, "show", "fix:m.py") == MENDED
