"""What speaks for and against one green candidate: `Evidence`, in numbers and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from diffufix.trust.behaviour import Behaviour
from diffufix.trust.strength import Strength
from diffufix.trust.style import Fault


@dataclass(frozen=True)
class Evidence:
    """All of it about a candidate that passed, at the end of a search or in the middle of one."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    strength: Strength = field(default_factory=Strength)
    faults: tuple[Fault, ...] = ()
    logp: float = 0.0  # nats, of the edit, the place as it was among the alternatives
    score: float = 0.0  # nats, by which the search ranked it
    margin: float = 0.0  # nats before the best candidate that passes and behaves otherwise
    rank: int = 1  # among the candidates tried
    tried: int = 1
    greens: int = 1  # candidates that pass
    groups: int = 1  # of them, that can be told apart
    alike: int = 1  # candidates in this one's group
    agrees: int = 0  # inputs, made-up ones included, at which it does as the original does
    compared: int = 0
    size: int = 0  # tokens removed and added
    kind: str = "expression"  # of the hole
    covering: int = 0  # passing tests that were run on it
    targets: int = 1  # failing tests that it turns green
    suspect: int = 1  # rank of the function among the suspects
    suspicion: float = 1.0  # of the place, against the most suspicious line of its function

    def features(self) -> dict[str, float]:
        """For the probability; logarithms of counts, shares, flags."""
        b, s = self.behaviour, self.strength
        rules = {fault.rule for fault in self.faults}
        return {
            "logp": max(-20.0, self.logp),
            "margin": max(-6.0, min(6.0, self.margin)),
            "rank": math.log(self.rank),
            "greens": math.log(self.greens),
            "groups": math.log(self.groups),
            "alike": self.alike / max(1, self.greens),
            "strength": math.log(s.rejected / (1.0 - s.rejected)),
            "pass_rate": math.log((self.greens + 0.5) / (self.tried + 1.0)),
            "unobserved": float(not b.known),
            "unseen": float(b.failing > 0 and not b.failing_changed),
            "calls": math.log1p(b.passing),
            "tests": math.log1p(b.tests),
            "changed": b.share,
            "any_changed": float(b.passing_changed > 0),
            "agreement": self.agrees / self.compared if self.compared else 0.5,
            "covering": math.log1p(self.covering),
            "targets": math.log(max(1, self.targets)),
            "size": math.log1p(self.size),
            "structure": float(self.kind not in ("expression", "statement")),
            "suspect": math.log(self.suspect),
            "deletes": float(bool(rules & {"deleted-statement", "deleted-part"})),
            "copied": float(bool(rules & {"copied-literal", "special-case"})),
            "odd": float(len(rules - {"deleted-statement", "deleted-part", "copied-literal",
                                      "special-case", "layout"})),
            "layout": float("layout" in rules),
        }  # fmt: skip

    def words(self) -> list[str]:
        """One fact an entry, for people."""
        said = [*self.behaviour.words(), self.strength.words()]
        if self.greens > 1:
            alike = "alike" if self.groups == 1 else f"in {self.groups} ways that differ"
            said.append(f"{self.greens} edits pass, they behave {alike}")
        return said + [f"odd: {fault.reason}" for fault in self.faults]

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        b, s = self.behaviour, self.strength
        return {
            "words": self.words(),
            "behaviour": {
                "observed": b.known, "passing_calls": b.passing,
                "passing_calls_changed": b.passing_changed, "failing_calls": b.failing,
                "failing_calls_changed": b.failing_changed, "failing_path_changed": b.path_changed,
            },
            "strength": {"tried": s.tried, "passed": s.passed, "rejected": round(s.rejected, 4)},
            "faults": [{"rule": f.rule, "reason": f.reason} for f in self.faults],
            "logp": round(self.logp, 3), "rank": self.rank, "tried": self.tried,
            "greens": self.greens, "groups": self.groups, "alike": self.alike,
            "agreement": [self.agrees, self.compared], "size": self.size,
        }  # fmt: skip
