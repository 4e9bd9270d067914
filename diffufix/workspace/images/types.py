"""`ImagePlan`: what is known about a project's environment before anything is built. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Where the environment lies in an image that we made.
VENV = "/opt/venv"
#: Where the files that decide the environment are put while it is built.
WORKDIR = "/opt/diffufix/project"
#: Who runs by default in an image that we made: nobody.
USER = "65534:65534"


@dataclass(frozen=True)
class Layer:
    """One layer: `files` (keys of the plan's) are copied, then `run` is executed by a shell."""

    why: str
    run: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Foundation:
    """A Dockerfile of the project's own; paths are relative to the root."""

    dockerfile: str
    context: str = "."
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


@dataclass(frozen=True)
class ImagePlan:
    """How a project gets its environment.

    `base` is the image to start from (empty with a `foundation`, which is built first). Without
    steps that image is used as it is. `files` are the build context by path relative to it;
    `downloads` says whether a step needs the network.
    """

    root: Path
    source: str
    why: str
    base: str = ""
    foundation: Foundation | None = None
    python: str = ""
    steps: tuple[Layer, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    system_packages: bool = False
    downloads: bool = False
    notes: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether there is nothing to build: `base` is the image."""
        return not self.steps and self.foundation is None
