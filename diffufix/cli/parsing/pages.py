"""Help pages and the parsing of options: the classes of every command here.

A page is the command's docstring, its examples, its options in groups. In a docstring the paragraph
that begins with `Examples:` is shown as it stands. No option's help names a type that its
placeholder or its choices already show. Nothing heavy is imported here: a page is there at once.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from diffufix.report import style

EXAMPLES = "Examples:"
_NAMES = {"int": "N", "float": "X", "str": "TEXT", "Path": "PATH"}
_SIDE_BY_SIDE = 64  # columns from which help stands beside its option, not below
_LEFT = 30  # columns of options at most, where help stands beside them

Row = tuple[str, str]


class Page:
    """Writes a command's help."""

    def get_help(self: Any, ctx: Any) -> str:
        return "\n".join(page(self, ctx, page_width(), style.colours(sys.stdout)))

    def format_help(self: Any, ctx: Any, formatter: Any) -> None:
        """The same, for whoever brings a width of his own."""
        formatter.write("\n".join(page(self, ctx, formatter.width, False)) + "\n")


def page_width() -> int:
    """Columns of a page: those of the terminal, within bounds."""
    columns = shutil.get_terminal_size((80, 24)).columns
    return max(style.NARROWEST, min(columns, style.WIDEST))


def page(command: Any, ctx: Any, width: int, colour: bool) -> list[str]:
    """The lines of one help page."""
    summary, text, examples = parts(command.help or "")
    lines = _wrapped(summary, width)
    lines += ["", style.painted("Usage:", "bold green", colour) + f" {_usage(command, ctx)}"]
    for paragraph in text:
        lines += ["", *_wrapped(paragraph, width)]
    if examples:
        lines += ["", style.painted(EXAMPLES, "bold green", colour)]
        lines += _examples(examples, width, colour)
    for title, rows in _sections(command, ctx):
        lines += ["", style.painted(f"{title}:", "bold green", colour)]
        lines += _table(rows, width, colour)
    for paragraph in inspect.cleandoc(command.epilog or "").split("\n\n"):
        lines += ["", *_wrapped(paragraph, width)] if paragraph else []
    return lines


def parts(text: str) -> tuple[str, list[str], list[str]]:
    """A docstring's first sentence, its other paragraphs, the lines of its examples."""
    summary, paragraphs, examples = "", [], []
    for block in inspect.cleandoc(text).split("\n\n"):
        if block.startswith(EXAMPLES):
            examples += [line.strip() for line in block.splitlines()[1:]]
        elif not summary:
            summary = " ".join(block.split())
        else:
            paragraphs.append(" ".join(block.split()))
    return summary, paragraphs, examples


def _wrapped(text: str, width: int) -> list[str]:
    """Rows of text; options stay whole, and so do defaults."""
    whole = re.sub(r"\[default: [^]]*\]", lambda found: found[0].replace(" ", "\0"), text)
    rows = textwrap.wrap(whole, width, break_on_hyphens=False)
    return [row.replace("\0", " ") for row in rows]


def _usage(command: Any, ctx: Any) -> str:
    """The command, its options and arguments, those that may be left out in brackets."""
    pieces = [ctx.command_path, "[OPTIONS]"]
    pieces += [_placeholder(p) for p in command.get_params(ctx) if p.param_type_name == "argument"]
    if hasattr(command, "list_commands"):
        pieces.append("[COMMAND]" if command.invoke_without_command else "COMMAND")
    return " ".join(pieces)


def _examples(lines: list[str], width: int, colour: bool) -> list[str]:
    """`command  # what it does`, in two columns; what it does goes below where it does not fit."""
    pairs = [[part.strip() for part in line.partition("  #")[::2]] for line in lines]
    left = max((len(command) for command, meaning in pairs if meaning), default=0) + 2
    shown = []
    for command, meaning in pairs:
        row = "  " + style.painted(command, "cyan", colour)
        told = [style.painted(f"# {text}", "dim", colour) for text in [meaning] if text]
        if told and left + len(meaning) + 4 <= width:
            row += " " * (left - len(command)) + told.pop()
        shown += [row, *(f"      {text}" for text in told)]
    return shown


def _sections(command: Any, ctx: Any) -> Iterable[tuple[str, list[Row]]]:
    """Arguments, commands, then the options; those without a group stand last."""
    found: dict[str, list[Row]] = {"Arguments": [], "Commands": []}
    for param in command.get_params(ctx):
        if getattr(param, "hidden", False):
            continue
        title = getattr(param, "rich_help_panel", None)
        if param.param_type_name == "argument":
            if param.help:
                found["Arguments"].append((_placeholder(param), _told(param, ctx)))
        else:
            found.setdefault(title or "Options", []).append((_option(param), _told(param, ctx)))
    for title, row in getattr(command, "summaries", list)():
        found.setdefault(title, []).append(row)
    general = found.pop("Options", [])
    ordered = [*found.items(), ("Options", general)]
    return [(title, rows) for title, rows in ordered if rows]


def _option(param: Any) -> str:
    """`-y, --yes`, `--budget SECONDS`, `--collect/--no-collect`."""
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    names = ", ".join([*short, *long[:1]])
    if param.secondary_opts:
        return f"{names}/{param.secondary_opts[0]}"
    flag = param.is_flag or getattr(param, "count", False)
    return names if flag else f"{names} {_placeholder(param)}"


def _placeholder(param: Any) -> str:
    if param.metavar:
        return str(param.metavar)
    if param.param_type_name == "argument":
        name = (param.name or "").upper().rstrip("_")
        return name if param.required else f"[{name}]"
    kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    kind = kind or getattr(getattr(param, "type", None), "name", "")
    return _NAMES.get(getattr(kind, "__name__", str(kind)), "TEXT")


def _told(param: Any, ctx: Any) -> str:
    """The help of an option, with its default."""
    text = " ".join((param.help or "").split())
    shown = param.show_default
    if isinstance(shown, str):
        return f"{text} [default: {shown}]"
    flag = getattr(param, "is_flag", False) or getattr(param, "count", False)
    default = param.get_default(ctx, call=False)
    if not shown or flag or default in (None, "", (), []) or callable(default):
        return text
    return f"{text} [default: {default}]"


def _table(rows: list[Row], width: int, colour: bool) -> list[str]:
    """Two columns; on narrow pages the second goes below the first."""
    lines: list[str] = []
    left = min(_LEFT, max((len(name) for name, _ in rows), default=0)) + 4
    beside = width >= _SIDE_BY_SIDE
    for name, text in rows:
        shown = "  " + style.painted(name, "cyan", colour)
        if not beside:
            lines += [shown, *(" " * 6 + row for row in _wrapped(text, width - 6))]
            continue
        wrapped = _wrapped(text, width - left) or [""]
        if len(name) + 4 > left:
            lines.append(shown)
        else:
            lines.append(f"{shown}{' ' * (left - 2 - len(name))}{wrapped.pop(0)}".rstrip())
        lines += [" " * left + line for line in wrapped]
    return lines


class CliCommand(Page, TyperCommand):
    """A command of diffufix."""


class CliGroup(Page, TyperGroup):
    """A command that has commands. Without one it shows its help."""

    def summaries(self) -> Iterable[tuple[str, Row]]:
        """Each command: the title above it, its name and first sentence."""
        for name, each in self.commands.items():
            if not each.hidden:
                title = getattr(each, "rich_help_panel", None) or "Commands"
                yield title, (name, parts(each.help or "")[0])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] == ["help"] and ctx.parent is None:  # `diffufix help runs`: as git has it
            args = [*args[1:], "--help"]
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            print(self.get_help(ctx), file=sys.stderr)
            ctx.exit(2)
        return super().parse_args(ctx, args)
