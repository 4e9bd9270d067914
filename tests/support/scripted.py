"""A repair whose proposer follows a script: real projects, real sandboxes, no sampling."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffufix import events
from diffufix.config import Settings
from diffufix.propose.proposals import Proposal
from diffufix.repair.job import ProposalSupply, RepairJob
from diffufix.repair.loop import run_job
from diffufix.repair.types import RepairResult
from diffufix.types import Fill

FILL = Fill((), (), (), 0.0, 1)


class Scripted(RepairJob):
    """Proposes the edits of a script, (old expression, new one), wherever they fit; an exception
    in the script is raised there, a number is slept."""

    def __init__(self, settings: Settings, script: Sequence[Any]) -> None:
        super().__init__(settings)
        self.script = script

    def propose(self, model: Any, goal: Any, story: Any, watch: Any, busy: Any) -> ProposalSupply:
        return ProposalSupply(self._follow(goal.subjects))

    def _follow(self, subjects: Sequence[Any]) -> Iterator[Proposal]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, float):
                time.sleep(step)
                continue
            old, new = step
            for subject in subjects:
                for hole in subject.holes():
                    if subject.source[hole.start : hole.end] == old:
                        yield Proposal(subject, hole, new, FILL, -1.0)
                        break


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    @property
    def warnings(self) -> str:
        return "\n".join(e.text for e in self.events if isinstance(e, events.Warned))


def repair(
    root: Path, files: Mapping[str, str], script: Sequence[Any], **options: Any
) -> tuple[RepairResult, Told]:
    """Write `files` below `root` and repair that project with the edits of `script`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8", newline="")
    told = Told()
    settings = Settings(
        root=root, sandbox="local", model="mini", adapter="none", collect=False,
        **{"budget": 120.0, "threshold": 0.0, **options},
    )  # fmt: skip
    return run_job(Scripted(settings, script), told), told
