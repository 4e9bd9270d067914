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


def spoken(text: str, chat: Chat) -> str:
    """A rendered text, whose turns are marked in ChatML, with the marks of another chat format."""
    if chat != "llama3":
        return text
    for role in ("system", "user", "assistant"):
        header = f"<|start_header_id|>{role}<|end_header_id|>\n\n"
        begin = "<|startoftext|>" if role == "system" else ""
        text = text.replace(f"<|im_start|>{role}\n", begin + header)
    return text.replace("<|im_end|>\n", "<|eot_id|>").replace("<|im_end|>", "<|eot_id|>")


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
