"""Published checkpoints: what they take, under which licence, and whether they are here.

Reads the Hugging Face cache and the machine's memory; no torch, no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from diffufix.model.families import REPOSITORIES, Repository, needed, repository
from diffufix.model.hub import MINI, in_cache, locate
from diffufix.model.remembered import answered, pinned


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint that can be had. Sizes in bytes; `memory` is an estimate while it fills holes,
    with bfloat16 weights; `folder` is where it is, None: it has not been fetched."""

    name: str
    family: str
    parameters: int
    download: int
    memory: int
    licence: str
    restricted: bool
    accepted: bool
    fits: bool  # into the memory that the CPU has free now
    revision: str = ""
    folder: Path | None = None
    block: int = 0  # tokens of a block, of those that write and fill no holes

    def document(self) -> dict[str, Any]:
        return {**vars(self), "folder": str(self.folder) if self.folder else None}

    @property
    def state(self) -> str:
        """One or two words for a table."""
        if self.folder is not None:
            return "here"
        return "to accept" if self.restricted and not self.accepted else "to pull"


def published() -> list[PublishedCheckpoint]:
    """`mini`, then every known checkpoint of the hub."""
    return [_mini(), *(_known(each) for each in REPOSITORIES)]


def find(name: str) -> PublishedCheckpoint | None:
    """The checkpoint of that name or hub id; None: not known."""
    if name == MINI:
        return _mini()
    known = repository(name)
    return _known(known) if known is not None else None


def _mini() -> PublishedCheckpoint:
    folder = locate(MINI)
    size = (folder / "model.safetensors").stat().st_size
    return PublishedCheckpoint(
        MINI, MINI, size, 0, 4 * size, "Apache-2.0", False, True, True, "in the package", folder
    )


def _known(each: Repository) -> PublishedCheckpoint:
    memory = needed(each.bytes)
    return PublishedCheckpoint(
        each.id, each.title, each.bytes // 2, each.bytes, memory, each.licence, each.restricted,
        bool(answered(each.id)), memory <= psutil.virtual_memory().available,
        pinned(each.id) or "", in_cache(each.id), each.block,
    )  # fmt: skip
