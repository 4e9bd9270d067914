"""A project with a fault, and observers on it."""

from __future__ import annotations

import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.trust.calls import Observer, Scene, Watched

FILES = {
    "bags.py": '''
        class Bag:
            """Things with counts."""

            def __init__(self):
                self.counts = {}

            def add(self, name, count=1):
                self.counts[name] = self.counts.get(name, 0) + count
                return self.counts[name]


        def clamp(value, low, high):
            """The value, or the nearer end."""
            if value < low:
                return low
            if value > low:
                return high
            return value


        def walk(items):
            for item in items:
                yield item * 2
    ''',
    "test_bags.py": '''
        import pytest
        from bags import Bag, clamp, walk


        def test_below():
            assert clamp(-5, 0, 10) == 0


        def test_at_the_low_end():
            assert clamp(0, 0, 10) == 0


        def test_above():
            assert clamp(15, 0, 10) == 10


        def test_inside():
            assert clamp(5, 0, 10) == 5


        def test_add():
            bag = Bag()
            assert bag.add("a") == 1
            assert bag.add("a", 2) == 3


        def test_walk():
            assert list(walk([1, 2])) == [2, 4]


        def test_nonsense():
            with pytest.raises(TypeError):
                clamp("a", 0, 10)
    ''',
    "pytest.ini": "[pytest]\n",
}  # fmt: skip


class Lab:
    """A project on disk and what is needed to observe it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.scratch = root, scratch

    def text(self, path: str = "bags.py") -> str:
        return (self.root / path).read_text()

    def edit(self, old: str, new: str, path: str = "bags.py") -> dict[str, str]:
        assert self.text(path).count(old) == 1
        return {path: self.text(path).replace(old, new)}

    def sandbox(self) -> Sandbox:
        tree = Path(tempfile.mkdtemp(dir=self.scratch)) / "tree"
        shutil.copytree(self.root, tree)
        return LocalSandbox(tree, python=sys.executable)

    def observer(self, tests: list[str], watched: list[Watched], **options: Any) -> Observer:
        paths = {each.path for each in watched}
        scene = Scene(
            sys.executable, (), self.root, tuple(f"test_bags.py::{t}" for t in tests),
            tuple(watched), {path: self.text(path) for path in paths}, **options,
        )  # fmt: skip
        return Observer(self.sandbox, scene)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Lab]:
    def make(files: Mapping[str, str] = FILES) -> Lab:
        root = tmp_path_factory.mktemp("project")
        for path, text in files.items():
            (root / path).write_text(textwrap.dedent(text).lstrip("\n"))
        return Lab(root, tmp_path_factory.mktemp("scratch"))

    return make
