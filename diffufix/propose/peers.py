"""Proposals of engines (diffufix/engines): holes asked for in threads, the best answers first.

Holes come in the order of their cost, each once a round; every round is hotter. What an engine
writes is cut to what can stand in the hole. `committee` takes turns between models: one that waits
for its server holds nobody up.
"""

from __future__ import annotations

import heapq
import itertools
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from diffufix.engines.types import Engine, EngineFill, EngineStopped, FillRequest
from diffufix.model.family import Family
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext, Proposal, cost_of, fit
from diffufix.propose.shown import fitted, own_test
from diffufix.source.spans import Text
from diffufix.types import Fill, Hole, Kind

#: Texts for completion, as base models read them: no turns, no special tokens.
READS = Family(name="fim", shift=False, layout="inline", chat="none", mask=0)
CHARACTERS = 3.0  # of a token, for what fits
COOL, HOT, STEP = 0.2, 1.2, 0.3  # temperatures of the first and the last rounds
SAMPLES = 2  # fills of one request, where the engine can
UNKNOWN = 1.0  # nats a token where the engine does not say how likely its text is
LONGEST = 256  # tokens of a fill
STALE = 3  # answers that say nothing new, after which a hole is not asked about again
SAME = 8  # characters of a line by which what follows a hole is known again
WAIT = 0.02  # seconds until answers are looked for again
_ORDER = list(Kind)


@dataclass
class _AskedHole:
    subject: EditTarget
    hole: Hole
    cost: float
    seen: set[str] = field(default_factory=set)
    stale: int = 0  # answers in a row that said nothing new


class PeerSupply:
    """One engine's proposals; `close` gives up what is under way. `warn` may be called by any
    thread."""

    def __init__(
        self,
        engine: Engine,
        subjects: Sequence[EditTarget],
        story: FailureContext,
        *,
        task: str = "repair",
        seed: int = 0,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._engine, self._story, self._task, self._warn = engine, story, task, warn
        top = max((s.suspect.score for s in subjects), default=1.0)
        holes = sorted(
            ((cost_of(s.suspect, hole, top), _ORDER.index(hole.kind), i, hole)
             for i, s in enumerate(subjects) for hole in s.holes()),
        )  # fmt: skip
        self._holes = [_AskedHole(subjects[i], hole, cost) for cost, _, i, hole in holes]
        self._order = self._asked(seed)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._found: queue.SimpleQueue[Proposal | None] = queue.SimpleQueue()
        self._best: list[tuple[float, int, Proposal]] = []
        self._ticks = itertools.count()
        self._room = threading.Semaphore(4 * engine.at_once)  # answers ahead of the verifier
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=engine.name)
            for _ in range(engine.at_once if self._holes else 0)
        ]
        self._running = len(self._threads)
        for thread in self._threads:
            thread.start()

    # -- the verifier's side -----------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing is left and nothing more will come."""
        self._take()
        return not self._best and self._running == 0 and self._found.empty()

    def ready(self) -> Proposal | None:
        """The best proposal that has arrived; None: none is there at the moment."""
        self._take()
        return heapq.heappop(self._best)[2] if self._best else None

    def close(self) -> None:
        self._stopped.set()
        for _ in self._threads:
            self._room.release()

    def _take(self) -> None:
        while not self._found.empty():
            self._keep(self._found.get())

    def _keep(self, proposal: Proposal | None) -> None:
        if proposal is None:
            self._running -= 1
            return
        self._room.release()
        heapq.heappush(self._best, (-proposal.score, next(self._ticks), proposal))

    # -- the engine's side -------------------------------------------------------------------------

    def _asked(self, seed: int) -> Iterator[tuple[_AskedHole, float, int]]:
        """Every hole at the first temperature, then at the next; the hottest again and again. It
        ends where nothing new comes any more: requests may cost money."""
        heat = COOL
        for number in itertools.count():
            left = [asked for asked in self._holes if asked.stale < STALE]
            if not left:
                return
            for asked in left:
                yield asked, heat, seed + number
            heat = min(HOT, heat + STEP)

    def _work(self) -> None:
        try:
            while not self._stopped.is_set():
                with self._lock:
                    turn = next(self._order, None)
                if turn is None:
                    return
                asked, temperature, seed = turn
                asked.stale += 1
                for fill in self._engine.fill(self._request(asked, temperature, seed)):
                    proposal = self._proposal(asked, fill)
                    if proposal is None:
                        continue
                    asked.stale = 0
                    self._room.acquire()
                    if self._stopped.is_set():
                        return
                    self._found.put(proposal)
        except EngineStopped as error:
            if not self._stopped.is_set():
                self._warn(str(error))
            self._stopped.set()
        except Exception as error:
            self._warn(f"{self._engine.name} failed: {type(error).__name__}: {error}")
            self._stopped.set()
        finally:
            self._found.put(None)

    def _request(self, asked: _AskedHole, temperature: float, seed: int) -> FillRequest:
        subject, hole = asked.subject, asked.hole
        left, right = peer_prompt(subject, hole, self._story, self._task, self._engine.room)
        original = subject.source[hole.start : hole.end]
        line = hole.kind is Kind.EXPRESSION and "\n" not in original
        most = int(2 * len(original) / CHARACTERS) + 24
        return FillRequest(
            left, right, LONGEST if hole.kind is Kind.BODY else min(LONGEST, most), temperature,
            seed, ("\n",) if line else (), SAMPLES,
        )  # fmt: skip

    def _proposal(self, asked: _AskedHole, fill: EngineFill) -> Proposal | None:
        """None for a text that says nothing new."""
        subject, hole = asked.subject, asked.hole
        text = trimmed(subject.source, hole, fill.text)
        if text in asked.seen or text == subject.source[hole.start : hole.end]:
            return None
        asked.seen.add(text)
        tokens = max(1, fill.tokens or round(len(fill.text) / CHARACTERS))
        logp = fill.logp if fill.logp is not None else -UNKNOWN * tokens
        made = Fill((), (), (), logp, 0)
        score = logp / tokens - asked.cost
        return Proposal(subject, hole, fit(subject.source, text), made, score)


def peer_prompt(
    subject: EditTarget, hole: Hole, story: FailureContext, task: str, room: int
) -> tuple[str, str]:
    """The failure as comments and the file around a hole, cut to `room` tokens (estimated)."""
    source = subject.source
    texts = {"test_source": own_test(story.test_source, story.test)}
    if task == "repair":
        texts |= {
            "original": source[hole.start : hole.end], "test": story.test,
            "traceback": story.traceback, "message": story.message,
        }  # fmt: skip
    return fitted(
        READS, task, lambda text: int(len(text) / CHARACTERS), room, path=subject.suspect.path,
        function=subject.suspect.qualname, left=source[: hole.start], right=source[hole.end :],
        **texts,
    )  # fmt: skip


def trimmed(source: str, hole: Hole, text: str) -> str:
    """What of a text can stand in the hole: without a fence, what is indented less than the hole's
    own line, and what already follows the hole."""
    start = source.rfind("\n", 0, hole.start) + 1
    head = source[start : hole.start]
    indent = len(head) - len(head.lstrip())
    right = source[hole.end :]
    after = next((line.strip() for line in right.split("\n")[1:] if line.strip()), "")
    kept = []
    for number, line in enumerate(Text(text).lines):
        bare = line.strip()
        if bare.startswith("```"):
            break
        if number and bare and len(line) - len(line.lstrip()) < indent:
            break
        if number and len(after) >= SAME and bare == after:
            break
        kept.append(line)
    result = "".join(kept)
    rest = right.split("\n")[0]
    if rest and result.endswith(rest):  # the end of the line was written once more
        result = result[: -len(rest)]
    return result if text.endswith("\n") and len(kept) == len(Text(text).lines) else result.rstrip()


def committee(
    own: Iterator[Proposal] | None, peers: Sequence[PeerSupply], until: float = math.inf
) -> Iterator[Proposal]:
    """Turns: one of the local model, then one that has arrived of each engine. Where there are
    engines alone they are waited for, until that moment (monotonic seconds) at most."""
    left = list(peers)
    while own is not None or left:
        idle = True
        proposal = next(own, None) if own is not None else None
        if proposal is None:
            own = None
        else:
            idle = False
            yield proposal
        for peer in list(left):
            proposal = peer.ready()
            if proposal is not None:
                idle = False
                yield proposal
            elif peer.over:
                left.remove(peer)
        if idle and left:
            if time.monotonic() > until:
                return
            time.sleep(WAIT)
