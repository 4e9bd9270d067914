"""Pages that are made when the site is built: the command line, the settings and the Python API
from the code; CONTRIBUTING and CHANGELOG from the top level. Links that leave docs/ become plain
text.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)]*)\)")
_OUTSIDE = {"../CONTRIBUTING.md": "contributing.md", "../CHANGELOG.md": "changelog.md"}


def on_files(files: Files, config: Any) -> Files:
    made = {
        "cli.md": cli(),
        "configuration.md": configuration(),
        "python-api.md": python_api(),
        "contributing.md": _top("CONTRIBUTING.md"),
        "changelog.md": _top("CHANGELOG.md"),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    def plain(found: re.Match[str]) -> str:
        there = _OUTSIDE.get(found[2].partition("#")[0])
        return f"[{found[1]}]({there})" if there else found[1]

    return _LINK.sub(plain, markdown)


def _top(name: str) -> str:
    """A file of the top level, its links into docs/ as they are from there."""
    text = (ROOT / name).read_text("utf-8")
    return re.sub(r"\]\(docs/", "](", text)


def cli() -> str:
    """Every command with what its help page says."""
    import typer

    from diffufix.cli.app import app

    command = typer.main.get_command(app)
    parts = ["# Command line", "", "Every command as `diffufix COMMAND --help` shows it.", ""]
    for name, text in _helped(command, "diffufix"):
        parts += [f"## {name}", "", "```text", text, "```", ""]
    return "\n".join(parts)


def _helped(command: Any, name: str) -> Iterator[tuple[str, str]]:
    context = command.make_context(name, [], resilient_parsing=True)
    formatter = context.make_formatter()
    formatter.width = 88
    command.format_help(context, formatter)
    yield name, formatter.getvalue().rstrip()
    for part, sub in sorted(getattr(command, "commands", {}).items()):
        if not sub.hidden:
            yield from _helped(sub, f"{name} {part}")


def configuration() -> str:
    """Every setting, its default, and what the code says of it."""
    from diffufix import config

    said = _comments(inspect.getsource(config.Settings))
    parts = [
        "# Configuration", "",
        "Command line, then environment (`DIFFUFIX_BUDGET=30`), then `[tool.diffufix]` of the "
        "nearest pyproject.toml, then the default. An unknown key is an error. "
        "`diffufix config show` says what is in force and where each value comes from.",
        "",
        "| key | default | meaning |", "|---|---|---|",
    ]  # fmt: skip
    for item in fields(config.Settings):
        if item.metadata.get("option"):
            own = " Command line and environment only." if item.metadata.get("own") else ""
            choices = item.metadata.get("choices")
            one_of = f" One of {', '.join(map(str, choices))}." if choices else ""
            meaning = (said.get(item.name, "") + one_of + own).replace("|", "\\|")
            default = f"`{item.default!r}`".replace("'", '"')
            parts.append(f"| `{item.name}` | {default} | {meaning} |")
    return "\n".join([*parts, ""])


def _comments(source: str) -> dict[str, str]:
    """What stands above each field in `#:` comments, or behind it."""
    found: dict[str, str] = {}
    told: list[str] = []
    for line in inspect.cleandoc(source).splitlines():
        stripped = line.strip()
        if stripped.startswith("#:"):
            told.append(stripped[2:].strip())
        elif field := re.match(r"(\w+): .*=", stripped):
            found[field[1]] = " ".join(told)
            told = []
        else:
            told = []
    return found


def python_api() -> str:
    """The functions of the API with their signatures, and its other names."""
    import diffufix
    from diffufix import api

    tree = ast.parse((ROOT / "diffufix" / "api.py").read_text("utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    parts = ["# Python API", "", inspect.cleandoc(api.__doc__ or ""), ""]
    others = []
    for name in diffufix.__all__[1:]:
        if name in functions:
            node = functions[name]
            signature = f"{name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"  # type: ignore[arg-type]
            parts += [f"## diffufix.{name}", "", "```python", signature, "```", ""]
            parts += [ast.get_docstring(node) or "", ""]
        else:
            told = (inspect.getdoc(getattr(diffufix, name)) or "").split("\n\n")[0]
            others.append(f"| `{name}` | {' '.join(told.split())} |".replace("||", "|"))
    return "\n".join([*parts, "## Other names", "", "| name | meaning |", "|---|---|", *others, ""])
