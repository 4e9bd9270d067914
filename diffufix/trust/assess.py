"""All the evidence about the green candidates of one goal: `assess`. Touches the observer's
sandbox alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from diffufix.source.difference import edit_size
from diffufix.source.edits import splice
from diffufix.trust.behaviour import Behaviour, compare
from diffufix.trust.calls import Observer
from diffufix.trust.evidence import Evidence
from diffufix.trust.groups import Difference, agreement, difference, group
from diffufix.trust.probability import capped, probability
from diffufix.trust.settled import settled
from diffufix.trust.strength import MutantCounts
from diffufix.trust.style import faults
from diffufix.trust.types import Recording


@dataclass(frozen=True)
class Green:
    """A candidate that passes: the span of one file that it replaces, and how it was found."""

    path: str
    start: int
    end: int
    text: str
    qualname: str
    kind: str
    logp: float
    score: float
    rank: int  # among the candidates tried, from 1
    targets: int = 1
    covering: int = 0
    suspect: int = 1
    suspicion: float = 1.0


@dataclass(frozen=True)
class Judged:
    """One green candidate with what is known of it; `group` numbers what behaves alike, from 1 in
    the order of their best candidates."""

    index: int  # among those given
    probability: float
    evidence: Evidence
    group: int = 1
    refused: str = ""  # why it is never offered
    expected: tuple[str, ...] = ()  # what became of the user's expectations
    difference: Difference | None = None  # the smallest input that tells it from the best one

    @property
    def agrees(self) -> bool:
        """Whether it does all that the user expects."""
        return all(said == "yes" for said in self.expected)


def assess(
    greens: Sequence[Green],
    observer: Observer | None,
    tally: MutantCounts,
    tried: int,
    tests: str = "",
    sources: Mapping[str, str] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Judged]:
    """Judge them together, the most probably right one first; none once `stopped` says so.

    `sources` are the texts that the candidates edit (default: the tally's), `tests` the source of
    the failing tests, `tried` the candidates run so far. Without an observer nothing is known of
    behaviour.
    """
    texts = dict(sources or tally.sources)
    after = [_edited(texts[green.path], green) for green in greens]
    recordings = [Recording(problem="not observed")] * len(greens)
    original = Recording(problem="not observed")
    if observer is not None and greens:
        files = [{g.path: text} for g, text in zip(greens, after, strict=True)]
        recordings = observer.observe(files)
        original = observer.original
    members = group(recordings)
    of = {index: number for number, group_ in enumerate(members) for index in group_}
    judged = []
    for index, (green, new) in enumerate(zip(greens, after, strict=True)):
        if stopped():
            return []
        old, recording = texts[green.path], recordings[index]
        odd = faults(old, new, tests)
        behaviour = Behaviour()
        if observer is not None:
            names = [green.qualname] if green.qualname != "<module>" else _names(original)
            behaviour = compare(original, recording, names, {green.path: (old, new)})
            if original.complete and recording.complete:
                odd += settled(old, new, original, recording)
        others = [g.score for i, g in enumerate(greens) if of[i] != of[index]]
        best = max((greens[i].score for i in members[of[index]]), default=green.score)
        agrees, compared = agreement(original, recording)
        evidence = Evidence(
            behaviour, tally.at(green.path, green.start, green.end), odd, green.logp, green.score,
            best - max(others) if others else 6.0, green.rank, max(tried, 1), len(greens),
            len(members), len(members[of[index]]), agrees, compared, edit_size(old, new),
            green.kind, green.covering, green.targets, green.suspect, green.suspicion,
        )  # fmt: skip
        refused = next((fault.reason for fault in odd if fault.refused), "")
        features = evidence.features()
        chance = 0.0 if refused else capped(probability(features), features)
        judged.append(
            Judged(index, chance, evidence, of[index], refused, recording.expected)
        )  # fmt: skip
    return _ordered(judged, recordings, observer)


def _ordered(
    judged: Sequence[Judged], recordings: Sequence[Recording], observer: Observer | None
) -> list[Judged]:
    """Best first, the groups numbered in that order, each told from the best one."""
    ranked = sorted(judged, key=lambda j: (bool(j.refused), not j.agrees, -j.probability, j.index))
    numbers: dict[int, int] = {}
    found = []
    for each in ranked:
        number = numbers.setdefault(each.group, len(numbers) + 1)
        apart: Difference | None = None
        if observer is not None and number > 1:
            one, other = recordings[ranked[0].index], recordings[each.index]
            if one.complete and other.complete:
                apart = difference(one, other, observer.names)
        found.append(replace(each, group=number, difference=apart))
    return found


def _edited(text: str, green: Green) -> str:
    return splice(text, green, green.text)


def _names(recording: Recording) -> list[str]:
    return sorted({call.function for call in recording.calls})
