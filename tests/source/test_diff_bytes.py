"""A diff is written in the encodings of the files that it changes, and lines are Python's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from diffufix.source.file import SourceFile
from diffufix.source.patch import diff_bytes, make_patch


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_git_applies_it_whatever_the_encoding(tmp_path: Path, ending: str) -> None:
    texts = {
        "latin.py": ("# -*- coding: latin-1 -*-\n# école\nX = 'mérit'\n", "latin-1"),
        "cyrillic.py": ("# coding: cp1251\nX = 'оценка'\n-- a = 1", "cp1251"),
        "plain.py": ("# école\nX = 1\n", "utf-8"),
        "marked.py": ("# école\nX = 1\n", "utf-8-sig"),
    }
    for name, (text, encoding) in texts.items():
        (tmp_path / name).write_bytes(text.replace("\n", ending).encode(encoding))
    sources = {name: SourceFile.read(tmp_path / name) for name in texts}
    new = {name: source.text.replace("X =", "Y = X =") for name, source in sources.items()}
    patch = make_patch(sources, new)
    (tmp_path / "fix.patch").write_bytes(diff_bytes(patch.diff, tmp_path))
    subprocess.run(["git", "apply", "fix.patch"], cwd=tmp_path, check=True)
    for name, source in sources.items():
        assert (tmp_path / name).read_bytes() == source.encode(new[name])


@pytest.mark.parametrize(
    "sign", ["\x0c", "\x0b", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_lines_are_those_that_python_counts(sign: str) -> None:
    text = f"a = 1\n# {sign} b\r\nc = 2\rd{sign}"
    assert SourceFile(text).lines == ["a = 1\n", f"# {sign} b\r\n", "c = 2\r", f"d{sign}"]
    assert SourceFile("").lines == []
