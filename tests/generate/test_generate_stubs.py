"""Which functions are stubs, in which order they are filled, and where their holes are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffufix.errors import ProjectError, UsageError
from diffufix.generate.choose import choose
from diffufix.generate.stubs import empty, functions_of, in_call_order, marker

SOURCE = '''"""A module."""
from abc import abstractmethod
from typing import Protocol, overload


def bare(): ...


def documented(x: int) -> int:
    """Calls `last(x)`."""


def todo(x):
    # as fast as possible
    raise NotImplementedError("later")


def no_op():
    pass


def done(x):
    return todo(x) + 1


class Shape(Protocol):
    def area(self) -> float: ...


class Base:
    @abstractmethod
    def must(self): ...

    def hook(self):
        raise NotImplementedError

    @property
    def size(self):
        """How large."""
        return ...

    @staticmethod
    async def fetch():
        """Get it."""
        ...


class Derived(Base):
    def hook(self):
        return 1


@overload
def both(x: int) -> int: ...


def outer():
    def inner(y):
        """Twice."""
        pass

    return inner(2)


def last(x):
    """The last one."""
    ...
'''


def stubs(source: str = SOURCE) -> list[str]:
    return [f.qualname for f in functions_of("m.py", source) if f.is_stub]


def test_what_is_a_stub() -> None:
    assert stubs() == [
        "bare", "documented", "todo", "no_op", "Base.fetch", "outer.inner", "last",
    ]  # fmt: skip
    no_ops = [f.qualname for f in functions_of("m.py", SOURCE) if f.is_stub and f.is_no_op]
    assert no_ops == ["no_op"]


def test_callees_come_first() -> None:
    known = functions_of("m.py", SOURCE)
    chosen = [f for f in known if f.qualname in ("documented", "todo", "last")]
    assert [f.name for f in in_call_order(chosen, known)] == ["last", "documented", "todo"]
    through = functions_of("m.py", 'def a():\n    """See `b()`."""\n\ndef b(): return c()\n\n'
                           "def c():\n    ...\n")  # fmt: skip
    chosen = [f for f in through if f.is_stub]
    assert [f.name for f in in_call_order(chosen, through)] == ["c", "a"]


def test_circles_end() -> None:
    known = functions_of("m.py", 'def a():\n    """`b()`"""\n\ndef b():\n    """`a()`"""\n')
    assert sorted(f.name for f in in_call_order(known, known)) == ["a", "b"]


def test_an_emptied_file_parses_raises_and_can_be_put_back() -> None:
    chosen = [f for f in functions_of("m.py", SOURCE) if f.is_stub]
    text, emptied = empty(SOURCE, chosen)
    ast.parse(text)
    assert "# as fast as possible\n    raise" in text
    assert len(emptied) == len(chosen)
    for each in emptied:
        start, end = each.hole
        assert text[start:end] == f"raise NotImplementedError({marker(each.function)!r})"
    back = text
    for each in sorted(emptied, key=lambda e: -e.start):
        back = back[: each.start] + each.before + back[each.end :]
    assert back == SOURCE


BODIES = ["...", "pass", '"""Text."""', '"""Text."""; pass', "return 1", "x = 1; return x"]
BLOCKS = ["\n{i}...", '\n{i}"""Text."""', '\n{i}"""T."""\n{i}# why\n{i}pass', "\n{i}return 1"]


@given(
    st.lists(st.sampled_from([" " + b for b in BODIES] + BLOCKS), min_size=1, max_size=4),
    st.booleans(), st.sampled_from(["", "class A:\n", "class Ä:\n\tclass B:\n"]),
    st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_emptying_keeps_everything_else(bodies, asynchronous, head, newline) -> None:
    depth = head.count("\n")
    tab = "\t" * depth
    word = "async def" if asynchronous else "def"
    source = head + "".join(
        f"{tab}{word} f{n}(a, *, b='é'):" + body.replace("{i}", tab + "    ") + "\n\n"
        for n, body in enumerate(bodies)
    )
    source = source.replace("\n", newline)
    chosen = functions_of("m.py", source)
    text, emptied = empty(source, chosen)
    assert [f.qualname for f in functions_of("m.py", text)] == [f.qualname for f in chosen]
    assert all(f.is_stub and f.raises for f in functions_of("m.py", text))
    assert text.count("\n") == text.count(newline)
    for each in sorted(emptied, key=lambda e: -e.start):
        text = text[: each.start] + each.before + text[each.end :]
    assert text == source


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "m.py").write_text(SOURCE)
    (tmp_path / "one.py").write_text("def only(a):\n    ...\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_m.py").write_text("def test_it():\n    ...\n")
    return tmp_path


def names(root: Path, *arguments: str, every: bool = False) -> list[str]:
    return [f.qualname for f in choose(root, root, arguments, every).functions]


def test_choosing(project: Path) -> None:
    assert names(project, "one.py") == ["only"]
    assert names(project, "m.py::Base.fetch") == ["Base.fetch"]
    assert names(project, "m.py::done") == ["done"]
    assert names(project, "m.py::outer.<locals>.inner") == ["outer.inner"]
    found = names(project, ".", every=True)
    assert set(found) == {"bare", "last", "documented", "todo", "Base.fetch", "outer.inner", "only"}
    assert found.index("last") < found.index("documented")
    assert names(project, every=True) == found


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("m.py::tod", "Did you mean todo"),
        ("m.py::fetch", "Base.fetch"),
        ("ones.py", "Did you mean one.py"),
        ("m.py", "--all"),
        ("m.py::both", "implements it"),
        ("tests/test_m.py", "tested code"),
        ("pytest.ini", ".py"),
    ],
)
def test_wrong_choices_say_what_is_near(project: Path, argument: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        names(project, argument)
    assert words in caught.value.hint


def test_a_file_that_does_not_parse(project: Path) -> None:
    with pytest.raises(ProjectError, match=r"broken\.py, line 1 does not parse"):
        names(project, "broken.py")
