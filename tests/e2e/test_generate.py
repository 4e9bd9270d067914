"""`diffufix generate` on real small projects, as a user runs it: by its command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.checkpoints import make_dream_checkpoint

NOTES = '''def same(x):
    """What it is given.

    >>> same(3)
    3
    >>> same("a")
    'a'
    """
    raise NotImplementedError


def silent(x: int) -> int:
    """Nobody says what this gives."""
    ...
'''


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes.py").write_text(NOTES)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def said(done, code: int, *words: str) -> None:
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    for word in words:
        assert word in text, text


@pytest.mark.slow
def test_a_body_is_written_verified_and_taken_back(diffufix_cli, notes: Path) -> None:
    args = ("generate", "notes.py::same", "--model", "mini", "--sandbox", "local")
    done = diffufix_cli(*args, "--json", "--apply", "--budget", "150")
    document = json.loads(done.stdout)
    assert done.returncode == 0, document
    assert document["status"] == "generated"
    (function,) = document["functions"]
    assert function["state"] == "verified"
    assert function["examples"] == ["same(3)", 'same("a")']
    text = (notes / "notes.py").read_text()
    assert text != NOTES
    assert text.endswith(NOTES[NOTES.index("def silent") :])
    assert not list(notes.glob("test_diffufix*"))
    said(diffufix_cli("runs", "list"), 0, "generated")
    said(diffufix_cli("undo"), 0, "restored notes.py")
    assert (notes / "notes.py").read_text() == NOTES


@pytest.mark.slow
def test_a_body_counts_without_those_that_are_not_found(diffufix_cli, notes: Path) -> None:
    """The other stubs are as they were in the end: that is no edit which would have to run."""
    hard = '''

def letters(word: str, wanted: str) -> str:
    """
    >>> letters("ab", "xyz")
    'zyx-ab-3'
    """
    pass
'''
    (notes / "notes.py").write_text(NOTES + hard)
    args = ("generate", "--all", ".", "--model", "mini", "--sandbox", "local")
    done = diffufix_cli(*args, "--json", "--budget", "25")
    document = json.loads(done.stdout)
    states = {function["qualname"]: function["state"] for function in document["functions"]}
    assert states["same"] == "verified", done.stderr
    assert states["letters"] != "verified"
    assert "+    return x" in document["patch"]["diff"]


@pytest.mark.slow
def test_a_checkpoint_in_the_layout_of_diffucoder_runs_the_whole_of_generate(
    diffufix_cli, notes: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = make_dream_checkpoint(tmp_path_factory.mktemp("models") / "DiffuCoder-tiny")
    args = ("generate", "--all", ".", "--model", str(model), "--sandbox", "local")
    done = diffufix_cli(*args, "--json", "--budget", "30")
    document = json.loads(done.stdout)
    assert done.returncode in (0, 1), done.stderr  # its weights are random
    assert document["generated"] > 0
    states = {function["qualname"]: function["state"] for function in document["functions"]}
    assert states["silent"] == "nothing-verifies-it"
    assert (notes / "notes.py").read_text() == NOTES


def test_bad_input(diffufix_cli, notes: Path) -> None:
    said(diffufix_cli("generate", "notes.py::sane"), 2, "no function notes.py::sane", "same")
    said(diffufix_cli("generate", "notes.py"), 2, "2 stubs", "--all")
    (notes / "broken.py").write_text("def f(:\n")
    said(diffufix_cli("generate", "broken.py"), 2, "line 1 does not parse")
    said(diffufix_cli("generate"), 2, "What is to be generated?")


def test_what_nothing_verifies(diffufix_cli, notes: Path) -> None:
    args = ("generate", "notes.py::silent", "--model", "mini", "--sandbox", "local")
    said(diffufix_cli(*args), 1, "not tried", "--allow-unverified", "example")


def test_a_stub_whose_tests_already_pass(diffufix_cli, notes: Path) -> None:
    (notes / "test_silent.py").write_text(
        "from notes import silent\n\n\ndef test_silent():\n    assert silent(1) is None\n"
    )
    args = ("generate", "notes.py::silent", "--model", "mini", "--sandbox", "local")
    said(diffufix_cli(*args), 0, "already pass", "left as it is")
