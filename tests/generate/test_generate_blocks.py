"""Bodies by models that write block after block: behind the left side alone, by their own rules."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from diffufix.generate.body import Body
from diffufix.generate.in_place import bodies
from diffufix.generate.stubs import empty, functions_of
from diffufix.model import load_model
from diffufix.propose.proposals import FailureContext
from diffufix.types import SuspiciousFunction

SDAR = Path(__file__).parents[1] / "golden" / "families" / "sdar"
SOURCE = 'def double(x):\n    """Twice x."""\n    ...\n\n\nprint("right of it")\n'


def test_bodies_are_proposed() -> None:
    model = load_model(SDAR, device="cpu")
    text, found = empty(SOURCE, functions_of("mod.py", SOURCE))
    suspect = SuspiciousFunction("mod.py", "double", 1, 3, 1.0, {3: 1.0})
    body, shown = Body(suspect, text, found[0]), []
    made = list(
        islice(
            bodies(
                model, body, FailureContext(""), 0, lambda *each: shown.append(each), lambda: False
            ),
            6,
        )
    )
    assert len(made) == 6
    assert len({each.text for each in made}) > 3
    assert all(each.fill is not None and each.fill.steps for each in made)
    assert shown
