"""Help pages: an example on each, which parses; no placeholder where none belongs; any width."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from diffufix.cli import main
from diffufix.cli.app import app
from diffufix.cli.parsing import pages
from diffufix.errors import UsageError
from diffufix.report import style

ROOT: Any = typer.main.get_command(app)
#: Rooms whose pages are not made here.
OTHERS = ("evaluate",)


def commands(command: Any = ROOT, path: str = "diffufix") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        if name not in OTHERS:
            yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands())


def page(path: str, width: int = 80, colour: bool = False) -> list[str]:
    command = COMMANDS[path]
    context = command.context_class(command, info_name=path, help_option_names=["-h", "--help"])
    return pages.page(command, context, width, colour)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_page_has_an_example_that_parses(path: str) -> None:
    _, _, examples = pages.parts(COMMANDS[path].help or "")
    assert examples
    for line in examples:
        words = shlex.split(line.partition("  #")[0].partition(" | ")[0].partition(" > ")[0])
        words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S+", word)]
        assert words[0] == "diffufix"
        command: Any = ROOT
        args = words[1:]
        while args and args[0] in getattr(command, "commands", {}):
            command, args = command.commands[args[0]], args[1:]
        assert (
            path == "diffufix" or command is COMMANDS[path] or hasattr(COMMANDS[path], "commands")
        )
        if not hasattr(command, "commands") or args:
            command.make_context("x", args, parent=None, resilient_parsing=False)


@pytest.mark.parametrize("path", COMMANDS)
@pytest.mark.parametrize("width", [40, 80, 100])
def test_pages_fit_and_name_no_types(path: str, width: int) -> None:
    lines = page(path, width)
    assert "<" not in "\n".join(lines).replace("<module>", "")
    wide = [line for line in lines if len(line) > width and " " in line.strip()]
    wide = [line for line in wide if not re.match(r"(\S+=\S+ )?(diffufix|-|Usage|#)", line.strip())]
    assert [line for line in wide if not re.search(r"\S{30,}", line)] == []


def test_colour_is_added_and_changes_nothing_else() -> None:
    plain, coloured = page("diffufix repair"), page("diffufix repair", colour=True)
    assert [style.plain(line) for line in coloured] == plain
    assert "\x1b[36m--budget SECONDS\x1b[0m" in "\n".join(coloured)


def test_others_may_bring_a_width() -> None:
    command = COMMANDS["diffufix runs"]
    context = command.context_class(command, info_name="diffufix runs")
    formatter = context.make_formatter()
    formatter.width = 60
    command.format_help(context, formatter)
    assert formatter.getvalue().splitlines() == page("diffufix runs", 60)


@pytest.mark.parametrize(
    ("args", "code", "where"),
    [([], 2, "err"), (["runs"], 2, "err"), (["help"], 0, "out"), (["-h"], 0, "out"),
     (["help", "runs"], 0, "out"), (["repair", "-h"], 0, "out")],
    ids=str,
)  # fmt: skip
def test_help_without_an_empty_error(args: list[str], code: int, where: str, capsys) -> None:
    assert main(args) == code
    said = capsys.readouterr()
    assert "Usage: diffufix" in getattr(said, where)
    assert "error:" not in said.err + said.out


def test_the_list_of_commands_says_what_their_pages_say() -> None:
    listed = {name: said for _, (name, said) in ROOT.summaries()}
    assert listed == {name: pages.parts(each.help)[0] for name, each in ROOT.commands.items()}


def test_the_list_of_commands_imports_none() -> None:
    code = (
        "import sys; from diffufix.cli import main; main(['--help'])\n"
        "print(*sorted(name for name in sys.modules if 'diffufix' in name), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stderr.split()
    assert "diffufix.cli.app" in modules
    assert not {"diffufix.cli.repair", "diffufix.config", "diffufix.types"} & {*modules}


def test_the_version_is_short(capsys) -> None:
    assert main(["-V"]) == 0
    assert capsys.readouterr().out.startswith("diffufix ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("_DIFFUFIX_COMPLETE", f"source_{shell}")
    assert main([]) == 0
    assert "diffufix" in capsys.readouterr().out
    monkeypatch.setenv("_DIFFUFIX_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "diffufix rep")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "diffufix rep")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert main([]) == 0
    assert "repair" in capsys.readouterr().out


def test_one_option_is_the_same_everywhere() -> None:
    """A name has one placeholder and one short form, whichever command has it."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for path, command in COMMANDS.items():
        if path.startswith("diffufix train"):
            continue  # stages have options of their own that are called alike
        for param in command.params:
            if param.param_type_name == "option" and param.opts[-1] in _SHARED:
                found.setdefault(param.opts[-1], set()).add(tuple(sorted(param.opts)))
    assert {name: forms for name, forms in found.items() if len(forms) > 1} == {}


_SHARED = {"--json", "--quiet", "--verbose", "--force", "--model", "--sandbox", "--python"}


def test_no_option_of_pytest_is_taken_for_a_typing_error() -> None:
    from diffufix.cli.parsing.passthrough import divided

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True
    )
    command = COMMANDS["diffufix repair"]
    ours = {name: False for param in command.params for name in param.opts}
    for name in sorted(set(re.findall(r"(?<!\S)--[a-z][\w-]+", done.stdout))):
        try:
            divided([name], ours)
        except UsageError as error:
            pytest.fail(f"{name}: {error.hint}")
