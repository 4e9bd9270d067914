"""The corpus of a made-up site-packages folder: what goes in, what stays out, and why."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from diffufix.train import corpus
from diffufix.train.corpus import SKIPPED, build, fingerprint, functions_of, main

LONG = "def sum_up(items):\n    total = 0\n    for item in items:\n        total += item\n"
LONG += "    return total\n"


def install(site: Path, name: str, licence: str, files: dict[str, str], extra: str = "") -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n{licence}\n{extra}\n")
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in [*files, "../bin/tool.py"]))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    two = "def twice(x):\n    return x * 2\n"
    commented = 'def sum_up(items):\n    """Sum."""\n    # all\n    total = 0\n'
    commented += "    for item in items:\n        total += item\n    return total\n"
    install(
        folder, "Alpha", "License-Expression: MIT",
        {
            "alpha/core.py": LONG + "\n\n" + two,
            "alpha/again.py": commented,  # the same but for comments
            "alpha/tests/test_core.py": "def helper(x):\n    return x + 10\n",
            "alpha/_vendor/other.py": "def vendored(x):\n    return x + 11\n",
            "alpha/broken.py": "def broken(:\n",
            "alpha/known.py": "def bubble_sort(x):\n    return sorted(x)\n\n\n"
            "def unknown(x):\n    return x - 1\n",
            "alpha/data.txt": LONG,
        },
    )  # fmt: skip
    install(
        folder, "beta", "Classifier: License :: OSI Approved :: BSD License",
        {"beta.py": "class B:\n    def method(self):\n        return self.x\n"},
    )  # fmt: skip
    copyleft = "def free(x):\n    return x + 12\n"
    install(folder, "gamma", "License: GPL-3.0", {"gamma.py": copyleft})
    install(folder, "delta", "License: MIT or LGPL", {"delta.py": copyleft})
    install(folder, "epsilon", "Summary: no licence at all", {"epsilon.py": copyleft})
    install(folder, "zeta", "License: Proprietary", {"zeta.py": copyleft})
    return folder


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A standard library of one file, and one contaminated name."""
    folder = tmp_path / "lib"
    (folder / "site-packages").mkdir(parents=True)
    (folder / "small.py").write_text("def small(a, b):\n    return a if a < b else b\n")
    (folder / "site-packages" / "not.py").write_text("def other(a):\n    return a\n")
    monkeypatch.setattr(corpus.sysconfig, "get_paths", lambda: {"stdlib": str(folder)})
    names = tmp_path / "contaminated.txt"
    names.write_text("# names of the benchmarks\nbubble_sort\n")
    monkeypatch.setattr(corpus, "BENCHMARKS", names)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_what_goes_in_and_what_stays_out(site: Path, library: Path, tmp_path: Path) -> None:
    report = build(tmp_path / "c.jsonl.gz", site, None)
    found = rows(tmp_path / "c.jsonl.gz")
    names = [row["source"].split("(")[0].split()[-1] for row in found]
    assert sorted(names) == ["method", "small", "sum_up", "twice", "unknown"]
    assert {row["package"]: row["licence"] for row in found} == {
        "python": "PSF-2.0", "alpha": "MIT", "beta": "BSD License",
    }  # fmt: skip
    assert report["counts"] == {
        "functions": 5, "duplicates": 1, "shares a benchmark's name": 1, "unreadable files": 1,
    }  # fmt: skip
    assert report["characters"] == sum(len(row["source"]) for row in found)
    assert report["packages"]["beta"]["licence"] == "BSD License"
    method = next(row for row in found if row["package"] == "beta")
    assert method["source"] == "    def method(self):\n        return self.x"


def test_the_same_folder_gives_the_same_corpus(site: Path, library: Path, tmp_path: Path) -> None:
    for name in "ab":
        build(tmp_path / name, site, None)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


def test_packages_by_name_and_the_command(
    site: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "c.jsonl.gz"
    command = ["corpus", "--out", str(out), "--site", str(site), "--packages", "Beta"]
    monkeypatch.setattr(sys, "argv", command)
    main()
    assert {row["package"] for row in rows(out)} == {"python", "beta"}
    assert json.loads(capsys.readouterr().out)["functions"] == 2
    report = json.loads((tmp_path / "c.jsonl.report.json").read_text())
    assert set(report["packages"]) == {"python", "beta"}


def test_functions_worth_learning_from() -> None:
    long = "def long(x):\n" + "    x += 1\n" * 130
    wide = f"def wide(x):\n    return '{'a' * 200}'\n"
    source = "def one_line(x): return x\n" + long + wide
    source += "def documented(x):\n    'Nothing else.'\n"
    source += "def other(x):\n    return 'ü'\n" + LONG
    assert [name for name, _ in functions_of(source)] == ["sum_up"]


def test_fingerprints_see_code_alone() -> None:
    same = LONG.replace("total = 0", "total   =  0  # zero")
    assert fingerprint(LONG) == fingerprint("    " + LONG.replace("\n", "\n    "))
    assert fingerprint(LONG) == fingerprint(same)
    assert fingerprint(LONG) != fingerprint(LONG.replace("0", "1"))


@pytest.mark.parametrize(
    ("path", "skipped"),
    [
        *[(f"a/{name}.py", True) for name in ("test_b", "b_test", "conftest", "c_pb2")],
        *[(f"a/{name}/b.py", True) for name in ("tests", "testing", "_vendor", "locale")],
        *[(f"a/{name}.py", False) for name in ("latest", "contest", "attest", "protest_b")],
        ("test/support/x.py", True),
    ],
)
def test_files_that_are_skipped(path: str, skipped: bool) -> None:
    assert bool(SKIPPED.search(path)) == skipped


def test_names_of_the_public_benchmarks_are_listed(repository: Path) -> None:
    names = set((repository / "train" / "contaminated.txt").read_text().split("\n"))
    assert {"bitcount", "levenshtein", "has_close_elements"} <= names
