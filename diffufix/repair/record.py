"""What a repair writes into the log: a thin hand over `store`, for the loop and its searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffufix.config import Settings
from diffufix.store import Store
from diffufix.store.overview import bound
from diffufix.store.resume import MARK, Earlier, earlier, mark
from diffufix.types import Candidate, Fill, Group, SuspiciousFunction, TestCase, Verdict

if TYPE_CHECKING:
    from diffufix.engines.types import EngineOnly
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.propose.proposals import Proposal


class Record:
    """One run in the log of a project."""

    def __init__(self, store: Store, settings: Settings, command: str = "repair") -> None:
        self._store = store
        asked = asdict(settings)
        marked = mark(settings.root, asked, command) if command == "repair" else ""
        self.run_id = store.begin_run(asked | {MARK: marked}, command)
        self.earlier = Earlier() if settings.fresh else earlier(store, marked, self.run_id)
        self._holes: dict[tuple[str, int, int, str], int] = {}
        self._fills: dict[int, tuple[int, Fill]] = {}  # by candidate: what the model put there
        self._decode: Callable[[Sequence[int]], str] | None = None
        self._finished = False

    @classmethod
    def open(cls, root: Path, settings: Settings, command: str = "repair") -> Record:
        return cls(Store.open(root), settings, command)

    @property
    def number(self) -> int | None:
        """The run's number, by which it is found again; None where the log is not kept."""
        return self.run_id if self._store.kept else None

    @property
    def warning(self) -> str:
        return self._store.warning

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._finished:
            self.finish("interrupted", None)
        self._store.close()

    def model(self, model: LoadedModel | EngineOnly) -> None:
        from diffufix.engines.types import EngineOnly

        parameters = sum(p.numel() for p in model.parameters())
        adapter = str(model.adapter) if model.adapter else ""
        if not isinstance(model, EngineOnly):
            self._decode = model.tokenizer.decode
        self._store.set_model(self.run_id, model.name, model.fingerprint, adapter, parameters)

    def failures(self, cases: Iterable[TestCase]) -> None:
        self._store.add_failures(self.run_id, cases)

    def suspects(
        self, suspects: Iterable[SuspiciousFunction], texts: Mapping[str, str] | None = None
    ) -> None:
        self._store.add_suspects(self.run_id, suspects, texts)

    def proposal(self, proposal: Proposal, candidate: Candidate) -> int:
        """Hole, fill and candidate; returns the candidate's id."""
        subject, hole, fill = proposal.subject, proposal.hole, proposal.fill
        suspect = subject.suspect
        own = "" if subject.base is subject else subject.source[subject.start : subject.end]
        key = (suspect.path, hole.start, hole.end, own)
        if key not in self._holes:
            original = subject.source[hole.start : hole.end]
            self._holes[key] = self._store.add_hole(
                self.run_id, suspect.path, suspect.qualname, hole.start, hole.end, str(hole.kind),
                hole.suspicion, original, {"function": own} if own else None,
            )  # fmt: skip
        fill_id = self._store.add_fill(
            self._holes[key], proposal.text, fill.ids, fill.logps, fill.order, fill.logp,
            proposal.score, [(c.step, c.position, c.token, c.logp) for c in fill.trace],
        )  # fmt: skip
        candidate_id = self._store.add_candidate(self.run_id, fill_id, candidate.key)
        if fill.trace:
            self._fills[candidate_id] = fill_id, fill
        return candidate_id

    def group(self, group: Group) -> None:
        self._store.add_group(self.run_id, group)

    def verdict(self, candidate_id: int, verdict: Verdict, stage: str) -> None:
        self._store.add_verdict(candidate_id, verdict, stage)
        fill_id, fill = self._fills.pop(candidate_id, (0, None))
        if verdict.passed and fill is not None and fill.ids and self._decode is not None:
            self._store.add_pieces(fill_id, pieces(self._decode, fill.ids))

    def finish(self, status: str, summary: Any) -> None:
        self._finished = True
        self._store.finish_run(self.run_id, status, summary)
        bound(self._store)


def pieces(decode: Callable[[Sequence[int]], str], ids: Sequence[int]) -> list[str]:
    """The text of each token; together they are the text of all, as far as bytes allow it."""
    texts = [decode(ids[:end]) for end in range(len(ids) + 1)]
    return [after[len(before) :] for before, after in pairwise(texts)]
