"""Where whole bodies come from, by how a family reads holes. Text on one side, ids on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from diffufix.generate import appended, in_place
from diffufix.generate.body import Body
from diffufix.model.checkpoint import LoadedModel
from diffufix.model.family import Layout
from diffufix.propose.proposals import FailureContext, Proposal, Watcher


class BodySource(Protocol):
    """A module that makes whole bodies for models of one layout."""

    #: Whole bodies that are proposed before a draft that passes nothing is mended.
    HEAD_START: int

    def bodies(
        self,
        model: LoadedModel,
        body: Body,
        story: FailureContext,
        seed: int,
        watch: Watcher,
        busy: Callable[[], bool],
    ) -> Iterator[Proposal]: ...


BODIES: Mapping[Layout, BodySource] = {"aside": appended, "inline": in_place}
