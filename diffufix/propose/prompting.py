"""Prompts: what stands around a hole, for every family of models. Reads the templates only.

The templates live in prompts/, one folder per `Family.prompts`; prompts/README.md lists their
variables. A template says where the hole is, so the result is two texts, left and right of it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import diffufix
from diffufix.errors import UsageError
from diffufix.model.families import Chat

if TYPE_CHECKING:
    from jinja2 import Environment

_HOLE = "\0hole\0"
#: Families whose prompts hold special tokens; text of the project must not spell any.
_CHAT = frozenset({"dream"})


def render(family: str, task: str, **context: str) -> tuple[str, str]:
    """The texts left and right of the hole.

    `family` is a folder of prompts/ (`Family.prompts`), `task` is "repair" or "generate",
    `context` the variables of that template. Raises UsageError for an unknown template and for
    variables that are missing.
    """
    from jinja2 import TemplateNotFound, UndefinedError

    texts = {name: text.replace("\0", "") for name, text in context.items()}
    if family in _CHAT:
        texts = {name: text.replace("<|", "< |") for name, text in texts.items()}
    try:
        template = _environment().get_template(f"{family}/{task}.jinja2")
        rendered = template.render(texts, hole=_HOLE)
    except TemplateNotFound as error:
        raise UsageError(
            f"There is no prompt {task!r} for {family!r}.",
            f"There are: {', '.join(sorted(_environment().list_templates(['jinja2'])))}.",
        ) from error
    except UndefinedError as error:
        raise UsageError(f"The prompt {family}/{task}: {error.message}.") from error
    left, *rest = rendered.split(_HOLE)
    if len(rest) != 1:
        raise UsageError(f"The prompt {family}/{task} has {len(rest)} holes.", "Write one.")
    return left, rest[0]


#: Turns that are marked otherwise than in ChatML: before what a role says, and behind it.
_TURNS: dict[Chat, tuple[dict[str, str], str]] = {
    "llama3": (
        {
            "system": "<|startoftext|><|start_header_id|>system<|end_header_id|>\n\n",
            "user": "<|start_header_id|>user<|end_header_id|>\n\n",
            "assistant": "<|start_header_id|>assistant<|end_header_id|>\n\n",
        },
        "<|eot_id|>",
    ),
    "ling": (
        {
            "system": "<role>SYSTEM</role>",
            "user": "<role>HUMAN</role>",
            "assistant": "<role>ASSISTANT</role>",
        },
        "<|role_end|>",
    ),
    "seed": (
        {who: f"<[begin\u2581of\u2581sentence]>{who}\n" for who in ("system", "user", "assistant")},
        "<[end\u2581of\u2581sentence]>",
    ),
}


def spoken(text: str, chat: Chat) -> str:
    """A rendered text, whose turns are marked in ChatML, with the marks of another chat format."""
    if chat not in _TURNS:
        return text
    begins, end = _TURNS[chat]
    for role, begin in begins.items():
        text = text.replace(f"<|im_start|>{role}\n", begin)
    return text.replace("<|im_end|>\n", end).replace("<|im_end|>", end)


def guarded(text: str, chat: Chat) -> str:
    """A text of the project's in which no mark of that chat format is spelled any more."""
    first = {"ling": ("<role>", "</role>"), "seed": ("<[begin\u2581", "<[end\u2581")}
    for mark in ("<|", *first.get(chat, ())):
        text = text.replace(mark, f"< {mark[1:]}")
    return text


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # In a checkout prompts/ lies beside the package, in a wheel inside it: both are on its path.
    folders = [Path(base) / "prompts" for base in diffufix.__path__]
    environment = Environment(
        loader=FileSystemLoader([folder for folder in folders if folder.is_dir()]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the result is a prompt, not HTML
    )
    environment.filters["head"] = lambda text, n: _lines(text, n, first=True)
    environment.filters["tail"] = lambda text, n: _lines(text, n, first=False)
    return environment


def _lines(text: str, count: int, *, first: bool) -> str:
    """The first or last lines of a text without its outer blank lines, "..." where it was cut."""
    lines = text.strip("\n").split("\n")
    if len(lines) <= count:
        return "\n".join(lines)
    return "\n".join([*lines[:count], "..."] if first else ["...", *lines[-count:]])
