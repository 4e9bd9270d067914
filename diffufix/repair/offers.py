"""The patches that a user can choose from: `Offers`. Runs nothing but what it is given to check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from diffufix.propose.candidates import Change, PatchSet
from diffufix.repair.jury import Jury
from diffufix.repair.reasons import number
from diffufix.repair.search import PlausiblePatch, Search
from diffufix.repair.types import Offer
from diffufix.source.file import SourceFile as Source
from diffufix.source.patch import make_patch
from diffufix.trust.assess import Judged

#: Whether a success, beside the other changes, holds over the whole suite.
Check = Callable[[PlausiblePatch, Sequence[Change]], bool]
MOST = 12  # patches that are kept


@dataclass(frozen=True)
class Offered:
    """What speaks for the patch that was confirmed: the least of its changes' probabilities."""

    probability: float | None = None
    evidence: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    more: bool = False  # the second one repairs more, and is confirmed, too


@dataclass(frozen=True)
class Offers:
    jury: Jury
    searches: Sequence[Search]
    sources: Mapping[str, Source]
    complete: Callable[[Sequence[Change]], Sequence[Change]]
    check: Check | None = None  # None: nothing more is run
    #: Changes that did not hold together over the whole suite -> what they fail.
    refuted: Mapping[frozenset[Change], str] = field(default_factory=dict)

    def likely(
        self, accepted: Sequence[Sequence[PlausiblePatch]], changes: Sequence[Change], least: float
    ) -> list[PlausiblePatch]:
        """Those of `changes` that are right with at least this probability."""
        found = {success.change: success for ranked in accepted for success in ranked}
        known = [found[change] for change in changes if change in found]
        judged = [(success, self.jury.of(success.candidate_id)) for success in known]
        return [success for success, each in judged if each and each.probability >= least]

    def around(
        self,
        accepted: Sequence[Sequence[PlausiblePatch]],
        changes: Sequence[Change],
        whole: Sequence[Change],
    ) -> Offered:
        """The first is the patch of `changes`, the second that of `whole`, where it is more; each
        other one has one change instead of one of them, one a group being checked as far as there
        is time."""
        first = self._confirmed(1, accepted, changes)
        if first is None:
            return Offered()
        offers = [first.offers[0]]
        if len(whole) > len(changes):
            more = self._confirmed(2, accepted, whole)
            if more:
                first, offers = replace(first, more=True), [*offers, *more.offers]
        for search in self.searches:
            offers += self._others(search, changes, whole, len(offers))
        return replace(first, offers=tuple(offers))

    def _confirmed(
        self, number: int, accepted: Sequence[Sequence[PlausiblePatch]], changes: Sequence[Change]
    ) -> Offered | None:
        known = {s.change: s.candidate_id for ranked in accepted for s in ranked}
        judged = [self.jury.of(known[c]) for c in changes if c in known]
        weakest = min((j for j in judged if j), key=lambda j: j.probability, default=None)
        if weakest is None:
            return None
        words: tuple[str, ...] = tuple(weakest.evidence.words())
        if len(changes) > 1:
            words = tuple(
                f"{change.path}: {said}"
                for change, j in zip(changes, judged, strict=False)
                if j is not None
                for said in (f"{j.probability:.0%} likely right", *j.evidence.words())
            )
        offer = self._offer(number, changes, weakest, words, confirmed=True)
        return Offered(weakest.probability, words, (offer,)) if offer else None

    def _others(
        self, search: Search, changes: Sequence[Change], known: Sequence[Change], count: int
    ) -> list[Offer]:
        found: list[Offer] = []
        offered = self.jury.offered(search)
        replaced = [s.change for s, _ in offered if s.change in changes]
        confirmed = {j.group for s, j in offered if s.change in changes}
        compared = bool(offered) and offered[0][0].change in changes
        for success, judged in offered:
            if success.change in known or count + len(found) >= MOST:
                continue
            beside = [c for c in changes if c not in replaced]
            holds = False
            if judged.group not in confirmed and not judged.refused and judged.agrees:
                holds = self.check is not None and self.check(success, beside)
                confirmed |= {judged.group} if holds else set()
            words = tuple(judged.evidence.words())
            whole = [*beside, success.change]
            offer = self._offer(count + len(found) + 1, whole, judged, words, confirmed=holds)
            if offer is not None:
                if fails := self.refuted.get(frozenset(whole)):
                    refused = offer.refused or f"over the whole suite it does not hold: {fails}"
                    offer = replace(offer, refused=refused)
                # It was compared with the best one, which is not always in the first patch.
                found.append(offer if compared else replace(offer, difference=None))
        return found

    def _offer(
        self, number: int, changes: Sequence[Change], judged: Judged, words: tuple[str, ...],
        *, confirmed: bool,
    ) -> Offer | None:  # fmt: skip
        whole = self.complete(changes)
        texts = {path: source.text for path, source in self.sources.items()}
        files = PatchSet(texts).files(*whole)
        if not files:
            return None
        return Offer(
            number, make_patch({path: self.sources[path] for path in files}, files),
            judged.probability, judged.group, words, judged.difference, judged.refused, confirmed,
            judged.evidence.document(), tuple((c.path, c.start, c.end, c.text) for c in whole),
        )  # fmt: skip


def unconfirmed(
    accepted: Sequence[Sequence[PlausiblePatch]],
    sources: Mapping[str, Source],
    complete: Callable[[Sequence[Change]], Sequence[Change]],
    wanted: Collection[str],
    refuted: Collection[frozenset[Change]] = (),
) -> tuple[Offer, ...]:
    """What turned `wanted` tests green in the search, the best of each goal together, where there
    was no time to confirm it: as one patch of which nothing more is known. None where it is known
    not to hold."""
    left = [[s for s in ranked if frozenset([s.change]) not in refuted] for ranked in accepted]
    best = [ranked[0] for ranked in left if ranked]
    changes = dict.fromkeys(success.change for success in best)
    if frozenset(changes) in refuted:
        return ()
    whole = complete(tuple(changes))
    files = PatchSet({path: source.text for path, source in sources.items()}).files(*whole)
    if not changes or not files:
        return ()
    patch = make_patch({path: sources[path] for path in files}, files)
    green = {test for success in best for test in success.green} & {*wanted}
    said = f"turns {len(green):,} of {number(len(wanted), 'test')} green in the search"
    words = (f"{said}; it was not run over the whole suite",)
    spans = tuple((c.path, c.start, c.end, c.text) for c in whole)
    return (Offer(1, patch, 0.0, words=words, evidence={"words": list(words)}, spans=spans),)
