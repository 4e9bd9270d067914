"""What can be told wrong before any test is run: names of models, devices, functions.

Looks at the file system only; nothing heavy is imported.
"""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

from diffufix.cli.consent import may_have_gpu
from diffufix.config import Settings
from diffufix.engines.providers import LOCAL, PROVIDERS, engine_named, members
from diffufix.errors import PrerequisiteError, UsageError

MINI, NONE = "mini", "none"


def check(settings: Settings) -> None:
    """Raises UsageError or PrerequisiteError for what cannot work, with the nearest name."""
    for name in members(settings.model):
        _model(name)
    _adapter(settings.adapter, settings.root)
    if settings.device.partition(":")[0] == "cuda" and not may_have_gpu():
        raise PrerequisiteError(
            f"There is no GPU for --device {settings.device}.", "Leave --device out, or say cpu."
        )
    _function(settings.function, settings.root, settings.folder)


def _model(name: str) -> None:
    folder = Path(name).expanduser()
    if name == MINI or folder.is_dir() or engine_named(name) is not None:
        return
    provider, colon, model = name.partition(":")
    if colon and "/" not in provider:
        known = [*PROVIDERS, LOCAL]
        meant = [f"Did you mean {each}:{model}? "
                 for each in difflib.get_close_matches(provider, known, n=1)]  # fmt: skip
        raise UsageError(
            f"There is no engine {provider}.", "".join(meant) + f"Engines: {', '.join(known)}."
        )
    if "/" in name and not name.startswith((".", "/", "~")):
        return  # on the hub, or not: only a download can tell
    near = f"Did you mean {MINI}? " if difflib.get_close_matches(name, [MINI]) else ""
    what = "folder" if "/" in name else "model"
    raise PrerequisiteError(
        f"There is no {what} {name}.",
        f"{near}Name mini, a checkpoint folder, OWNER/NAME on the hub, or ENGINE:MODEL.",
    )


def _adapter(name: str, root: Path) -> None:
    if name in ("", NONE) or "/" in name or Path(name).expanduser().is_dir():
        return
    from diffufix.registry.models import Registry

    names = Registry(root).names()
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    known = f"Known here: {', '.join(names)}." if names else "Nothing was trained here yet."
    raise UsageError(
        f"There is no adapter {name}.", f"Did you mean {near[0]}? {known}" if near else known
    )


def _function(wanted: str, root: Path, folder: str) -> None:
    """`path::qualname` or `path`: the file is there, and the function in it."""
    path, mark, name = wanted.partition("::")
    if not wanted or not (mark or path.endswith(".py")):
        return  # a qualified name alone: the tests will tell
    places = [root / path, root / folder / path]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        from diffufix.cli.parsing.passthrough import nearest_file

        near = nearest_file(path, root)
        raise UsageError(
            f"--function: there is no file {path} in {root}.",
            f"Did you mean {near}{mark}{name}?" if near else "Paths are relative to the project.",
        )
    if not name:
        return
    from diffufix.source.functions import definitions

    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # whoever reads it next says so
    names = [found.qualname for found in definitions(tree)]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        last = [n for n in names if n.rpartition(".")[2] == name.rpartition(".")[2]]
        near = (last or close or [""])[0]
        raise UsageError(
            f"--function: {path} has no function {name}.",
            f"Did you mean {path}::{near}?" if near else "Names are as in Python: Class.method.",
        )
