"""Where hostile candidates are let loose: a small project, a backend, and things they must not
touch. Used by the tests beside it and by `bench/soak.py`."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.types import Candidate, Verdict
from diffufix.verify import Confirmer, ValidatorPool
from tests.attacks.hostile import RIGHT, Attack

SECRET_VARIABLE = "DIFFUFIX_TEST_TOKEN"
WRONG = "return sum(prices) * count - 1"
PROJECT = {
    "shop/__init__.py": "",
    "shop/price.py": f'''
        """What things cost."""


        def total(prices, count=1):
            {WRONG}
        ''',
    "shop/text.py": '''
        def clean(text):
            """The text without spaces around it."""
            return text.strip()
        ''',
    "conftest.py": """
        import pytest

        @pytest.fixture
        def prices():
            return [1, 2]
        """,
    "test_shop.py": """
        from shop.price import total

        def test_total(prices):
            assert total(prices) == 3

        def test_total_twice(prices):
            assert total(prices, 2) == 6

        def test_nothing():
            assert total([]) == 0
        """,
    "test_text.py": """
        import unittest
        from shop.text import clean

        class TestText(unittest.TestCase):
            def test_clean(self):
                self.assertEqual(clean(" a "), "a")
        """,
}
FAILING = (
    "test_shop.py::test_total",
    "test_shop.py::test_total_twice",
    "test_shop.py::test_nothing",
)
GREEN = ("test_text.py::TestText::test_clean",)
TESTS = (*FAILING, *GREEN)
BASELINE = dict.fromkeys(FAILING, "failed") | dict.fromkeys(GREEN, "passed")


@dataclass
class Arena:
    """One backend with a project to attack and the things outside it."""

    name: str
    make: Callable[[Path], Sandbox]
    python: str
    folder: Path  # visible to a sandbox that shows the host's files
    port: int
    made: list[Sandbox] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "project"

    def sandbox(self) -> Sandbox:
        tree = Path(tempfile.mkdtemp(prefix="diffufix-arena-")) / "tree"
        shutil.copytree(self.root, tree, symlinks=True)
        self.made.append(self.make(tree))
        return self.made[-1]

    def screen(self, **options: Any) -> ValidatorPool:
        options.setdefault("workers", 1)
        return ValidatorPool(
            self.sandbox,
            python=self.python,
            args=[],
            root=self.root,
            expected=BASELINE,
            failing=FAILING,
            seconds=dict.fromkeys(TESTS, 0.001),
            env={},
            **options,
        )

    def confirm(self, candidate: Candidate) -> Verdict:
        with Confirmer(
            self.sandbox, python=self.python, args=[], root=self.root, baseline=BASELINE, env={}
        ) as confirmer:
            return confirmer.confirm(candidate, FAILING).verdict

    def candidate(self, attack: Attack) -> Candidate:
        places = {
            "{outside}": str(self.folder / "outside"),
            "{root}": str(self.root),
            "{secret}": str(self.folder / "home" / ".ssh" / "id"),
            "{port}": str(self.port),
            "{env}": SECRET_VARIABLE,
        }

        def filled(text: str) -> str:
            for mark, place in places.items():
                text = text.replace(mark, place)
            return text

        if attack.path:
            return Candidate({filled(attack.path): filled(attack.text)})
        price = self.text("shop/price.py")
        if attack.module:
            return Candidate({"shop/price.py": filled(attack.module.strip()) + "\n" + price})
        return self.body(filled(attack.body))

    def body(self, code: str) -> Candidate:
        """The candidate whose `total` has this body."""
        indented = textwrap.indent(textwrap.dedent(code).strip(), "    ").strip()
        return Candidate({"shop/price.py": self.text("shop/price.py").replace(WRONG, indented)})

    def right(self) -> Candidate:
        return self.body(RIGHT)

    def text(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def outside(self) -> dict[str, str]:
        """All there is beside the sandbox, to be compared: path -> kind and content."""
        seen = {}
        for path in sorted(self.folder.rglob("*")):
            kind = "link" if path.is_symlink() else "file" if path.is_file() else "folder"
            seen[str(path)] = kind + (path.read_text() if kind == "file" else "")
        stray = Path("/tmp") / SECRET_VARIABLE
        seen["stray"] = str(stray.exists())
        return seen


@contextmanager
def arena(name: str, make: Callable[[Path], Sandbox], python: str, near: Path) -> Iterator[Arena]:
    """An arena with a listener on loopback; `near` is where its folder is made, and removed."""
    near.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="arena-", dir=near))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Arena(name, make, python, folder, listener.getsockname()[1])
        try:
            for path, text in PROJECT.items():
                (made.root / path).parent.mkdir(parents=True, exist_ok=True)
                (made.root / path).write_text(textwrap.dedent(text).lstrip("\n"))
            (folder / "outside").mkdir()
            (folder / "outside" / "canary").write_text("alive")
            (folder / "home" / ".ssh").mkdir(parents=True)
            (folder / "home" / ".ssh" / "id").write_text("token")
            yield made
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            for sandbox in made.made:
                sandbox.close()


def local(tree: Path, bubblewrap: bool = True) -> Sandbox:
    return LocalSandbox(tree, python=sys.executable, bubblewrap=bubblewrap)


def processes(screen: ValidatorPool) -> list[str]:
    """What runs in the sandbox of a screen's only worker, by command; for local and docker."""
    worker = screen._workers[0]
    container = getattr(worker.sandbox, "_container", "")
    if container:
        table = worker.sandbox._client.api.top(container)  # type: ignore[attr-defined]
        column = table["Titles"].index("PID")
        return [row[column] for row in table["Processes"]]
    return [str(pid) for pid in descendants(worker._process.pid)]  # type: ignore[union-attr]


def descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            parents.setdefault(int(fields[1]), []).append(int(name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found
