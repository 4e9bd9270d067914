"""A project's devcontainer.json: the image or Dockerfile it names. Reads only."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffufix.errors import ProjectError
from diffufix.workspace.images.types import Foundation

_PLACES = (".devcontainer/devcontainer.json", ".devcontainer.json")
#: A string (kept), a comment or a comma before a closing bracket (both dropped).
_JSONC = re.compile(
    r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[\]}])', re.S
)


@dataclass(frozen=True)
class DevContainer:
    """Exactly one of `image` and `foundation` is set."""

    path: str
    image: str = ""
    foundation: Foundation | None = None


def find_devcontainer(root: Path) -> DevContainer | None:
    """The first devcontainer.json that names an image or a Dockerfile; compose files are no help.

    Raises ProjectError for one that is not JSON.
    """
    folders = sorted((root / ".devcontainer").glob("*/devcontainer.json"))
    nested = [path.relative_to(root).as_posix() for path in folders]
    for place in (*_PLACES, *nested):
        if (root / place).is_file():
            found = _read(root, place)
            if found is not None:
                return found
    return None


def _read(root: Path, place: str) -> DevContainer | None:
    try:
        document = parse_jsonc((root / place).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProjectError(f"{place} cannot be read: {error}", "Correct the file.") from error
    if not isinstance(document, dict) or "dockerComposeFile" in document:
        return None
    build = document.get("build") or {}
    dockerfile = str(build.get("dockerfile") or document.get("dockerFile") or "")
    if dockerfile:
        folder = posixpath.dirname(place)
        context = str(build.get("context") or document.get("context") or ".")
        args = {name: str(value) for name, value in (build.get("args") or {}).items()}
        foundation = Foundation(
            dockerfile=posixpath.normpath(posixpath.join(folder, dockerfile)),
            context=posixpath.normpath(posixpath.join(folder, context)),
            args={name: value for name, value in args.items() if "${local" not in value},
            target=build.get("target", ""),
        )
        inside = (root / foundation.context).resolve().is_relative_to(root.resolve())
        return DevContainer(place, foundation=foundation) if inside else None
    image = document.get("image")
    return DevContainer(place, image=str(image)) if image else None


def parse_jsonc(text: str) -> Any:
    """JSON with comments and trailing commas. Raises ValueError."""
    return json.loads(_JSONC.sub(lambda m: m.group() if m.group()[0] == '"' else " ", text))
