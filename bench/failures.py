"""Does it help to be told what the failing test said? Bugs of other projects, with and without.

    python bench/failures.py PAIRS.jsonl.gz... [--models told=FOLDER,untold=FOLDER] \
        [--candidates 50] [--count 200] [--out failures]

The pairs are those of `diffufix train failures` on projects that no model was trained
on: a function, one bug that a test notices, and what the test says. Every model searches the whole
function as `repair --function` does but without tests, once shown the failure (where it reads any)
and once not. The place of the right function among the candidates decides, so a busy machine gives
the same answer as an idle one. The difference of two columns is tested by a sign test over the bugs
(McNemar, exact). Writes bench/results/NAME.json and .md after every column; columns that are in
the JSON are not run again. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch

from bench.repair import RESULTS
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext
from diffufix.propose.propose import propose
from diffufix.source.edits import splice
from diffufix.train.bugs.history import FixPair, load_pairs
from diffufix.train.bugs.parsing import function
from diffufix.train.rl.searching import chosen
from diffufix.types import SuspiciousFunction

TOPS = (1, 5, 20, 50)


def place_of(model: LoadedModel, pair: FixPair, shown: bool, candidates: int) -> int | None:
    """The place, from 1, of the right function among the candidates; None: not among the first."""
    broken, right = dedent(pair.before), dedent(pair.after)
    last = broken.count("\n") + 1
    subject = EditTarget(
        SuspiciousFunction("f.py", pair.qualname.split(".")[-1], 1, last, 1.0, {}), broken
    )
    story = FailureContext("", told=pair.failure if shown else "")
    seen: set[str] = set()
    for proposal in propose(model, [subject], story, busy=lambda: True):
        change = subject.change(proposal.hole, proposal.text)
        if change is None:
            continue
        made = splice(broken, proposal.hole, proposal.text)
        seen.add(made)
        if made == right:
            return len(seen)
        if len(seen) >= candidates:
            break
    return None


def usable(pairs: Sequence[FixPair], count: int) -> list[FixPair]:
    """Up to `count` pairs with a failure, in an order that is always the same."""
    order = list(pairs)
    random.Random(0).shuffle(order)
    told = [p for p in order if p.failure and function(dedent(p.before)) is not None]
    return chosen(told, count)


def sign_test(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided p of as many disagreements one way, were both as likely."""
    up = sum(b and not a for a, b in zip(first, second, strict=True))
    down = sum(a and not b for a, b in zip(first, second, strict=True))
    n, least = up + down, min(up, down)
    return min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)


def columns(models: Sequence[str]) -> Iterator[tuple[str, LoadedModel, bool]]:
    for entry in models:
        name, _, folder = entry.partition("=")
        model = load_model(folder or name, device="cpu", dtype="float32")
        for shown in (False, True) if model.family.failure else (False,):
            yield f"{name}, {'shown' if shown else 'hidden'}", model, shown


Places = dict[str, list[int | None]]


def hits(own: Sequence[int | None], top: int) -> list[bool]:
    return [place is not None and place <= top for place in own]


def counts(places: Places, tops: Sequence[int]) -> dict[str, dict[int, int]]:
    return {name: {top: sum(hits(own, top)) for top in tops} for name, own in places.items()}


def write(out: str, document: dict[str, Any], tops: Sequence[int]) -> None:
    """The places so far, with a test of every two columns."""
    places: Places = document["places"]
    tests = {
        f"{a} / {b}": {
            top: round(sign_test(hits(places[a], top), hits(places[b], top)), 4) for top in tops
        }
        for a, b in itertools.combinations(places, 2)
    }
    (RESULTS / f"{out}.json").write_text(json.dumps(document | {"p": tests}) + "\n")
    bugs = document["bugs"]
    lines = ["# What the failing test said", "", f"`{document['command']}`", "",
             f"{bugs} bugs of projects that were not trained on; the right function among",
             "the first candidates of the search, without tests.", "",
             "| model, failure | " + " | ".join(f"first {t}" for t in tops) + " |",
             "|---|" + "---|" * len(tops)]  # fmt: skip
    lines += [f"| {name} | " + " | ".join(map(str, row.values())) + " |"
              for name, row in counts(places, tops).items()]  # fmt: skip
    lines += ["", "| two of them | " + " | ".join(f"p, first {t}" for t in tops) + " |"]
    lines += ["|---|" + "---|" * len(tops)]
    lines += [f"| {both} | " + " | ".join(f"{row[t]:.3f}" for t in tops) + " |"
              for both, row in tests.items()]  # fmt: skip
    (RESULTS / f"{out}.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pairs", type=Path, nargs="+")
    parser.add_argument("--models", type=lambda text: text.split(","), default=["mini"])
    parser.add_argument("--candidates", type=int, default=max(TOPS))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", default="failures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = usable([p for path in args.pairs for p in load_pairs(path)], args.count)
    tops = [top for top in TOPS if top <= args.candidates]
    file = RESULTS / f"{args.out}.json"
    places: Places = json.loads(file.read_text())["places"] if file.exists() else {}
    names = ",".join(re.sub("=.*", "=FOLDER", model) for model in args.models)
    command = f"python bench/failures.py PAIRS.jsonl.gz --models {names}"
    command += f" --candidates {args.candidates} --count {args.count}"
    with torch.inference_mode():
        for name, model, shown in columns(args.models):
            if len(places.get(name, ())) == len(pairs):
                continue
            places[name] = [place_of(model, pair, shown, args.candidates) for pair in pairs]
            write(args.out, {"command": command, "bugs": len(pairs), "places": places}, tops)
            print(name, file=sys.stderr, flush=True)
    print(json.dumps(counts(places, tops)))


if __name__ == "__main__":
    main()
