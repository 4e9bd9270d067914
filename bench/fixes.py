"""Does the search reach what people did? Held-out real fixes, version beside version.

    python bench/fixes.py FIXES.jsonl.gz [--models mini,six=FOLDER] [--count 120] [--seconds 4] \
        [--offset 0] [--out fixes]

Lines are what `python -m diffufix.train.bugs.fixes` makes pairs of; the repositories must be ones
that no model was trained on. Every model searches the whole function as `repair --function` does,
but nothing is run: the rank of the fix (the same syntax tree) among the distinct candidates of so
many seconds of one thread's processor time. Once with what the commit's tests say of the function
shown, where there is such, and once without. The file is the function, the outline of its file for
models that read one, and for all of them a line `name = None` for each name that the outline says,
since a candidate with a name that nothing defines is not made. Writes bench/results/NAME.json and
.md after every model; what is in the JSON is not run again. The last line on stdout is one JSON
object.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import keyword
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch
from repair import RESULTS

from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.propose.candidates import Subject
from diffufix.propose.holes import splice
from diffufix.propose.proposals import Story, propose
from diffufix.propose.surroundings import Surroundings
from diffufix.train.bugs.history import told
from diffufix.train.bugs.parsing import function
from diffufix.train.corpus.never import never
from diffufix.types import Suspect

TOPS = (1, 5, 20, 100, 1000)
_WORD = re.compile(r"[^\W\d]\w*")


def usable(path: Path, count: int, offset: int) -> list[dict[str, Any]]:
    """Fixes of one function with nothing else in their commit, in an order that stays the same."""
    found = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            alone = row["functions_in_commit"] <= 1 and not row["defs_added"] and row["rank"] < 2
            if row["kind"] == "function" and alone and row["repo"].lower() not in never():
                nodes = [function(dedent(row[key])) for key in ("before", "after")]
                if None not in nodes and ast.dump(nodes[0]) != ast.dump(nodes[1]):
                    found.append(row)
    random.Random(0).shuffle(found)
    return found[offset : offset + count]


def subject_of(row: dict[str, Any]) -> Subject:
    text = dedent(row["before"])
    names = sorted({*_WORD.findall(row["outline"])} - {*keyword.kwlist})
    source = text + "\n\n" + "".join(f"{name} = None\n" for name in names)
    name = row["qualname"].rpartition(".")[2]
    last = text.count("\n") + 1
    return Subject(Suspect("f.py", name, 1, last, 1.0, {}), source)


def rank_of(
    model: LoadedModel, row: dict[str, Any], shown: bool, seconds: float
) -> tuple[int | None, int]:
    """The rank, from 1, of the fix among the candidates (None: not reached), and how many."""
    subject = subject_of(row)
    right = ast.dump(function(dedent(row["after"])))  # type: ignore[arg-type]
    about = told(row["tests"], row["qualname"]) if shown else ""
    story = Story("", told=about, around=Surroundings(row["outline"]))
    made, until = 0, time.process_time() + seconds
    for proposal in propose(model, [subject], story, busy=lambda: True):
        if subject.change(proposal.hole, proposal.text) is not None:
            made += 1
            node = function(splice(subject.source, proposal.hole, proposal.text))
            if node is not None and ast.dump(node) == right:
                return made, made
        if made >= TOPS[-1] or time.process_time() > until:
            break
    return None, made


def columns(models: Sequence[str]) -> Iterator[tuple[str, LoadedModel, bool]]:
    for entry in models:
        name, _, folder = entry.partition("=")
        model = load_model(folder or name, device="cpu", dtype="float32")
        for shown in (True, False) if model.family.failure else (False,):
            yield f"{name}, {'shown' if shown else 'hidden'}", model, shown


Ranks = dict[str, list[tuple[int | None, int]]]


def reached(own: Sequence[tuple[int | None, int]], top: int) -> int:
    return sum(rank is not None and rank <= top for rank, _ in own)


def write(out: str, document: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    (RESULTS / f"{out}.json").write_text(json.dumps(document) + "\n")
    ranks: Ranks = document["ranks"]
    head = " | ".join(f"top {top}" for top in TOPS)
    lines = [f"# Real fixes, held out: {len(rows)}", "", f"`{document['command']}`", "",
             f"| model, failure | {head} | candidates, median |", "|---|" + "---|" * 6]  # fmt: skip
    for name, own in ranks.items():
        counts = " | ".join(str(reached(own, top)) for top in TOPS)
        lines.append(f"| {name} | {counts} | {sorted(n for _, n in own)[len(own) // 2]} |")
    kinds = [kind for kind, _ in Counter(row["edit"] for row in rows).most_common(12)]
    lines += ["", "By kind of edit, within the first hundred:", ""]
    lines += [f"| edit | fixes | {' | '.join(ranks)} |", "|---|---|" + "---|" * len(ranks)]
    for kind in kinds:
        own = [i for i, row in enumerate(rows) if row["edit"] == kind]
        hits = " | ".join(str(reached([r[i] for i in own], 100)) for r in ranks.values())
        lines.append(f"| {kind} | {len(own)} | {hits} |")
    (RESULTS / f"{out}.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("fixes", type=Path)
    parser.add_argument("--models", type=lambda text: text.split(","), default=["mini"])
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", default="fixes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = usable(args.fixes, args.count, args.offset)
    file = RESULTS / f"{args.out}.json"
    ranks: Ranks = json.loads(file.read_text())["ranks"] if file.exists() else {}
    names = ",".join(re.sub("=.*", "=FOLDER", model) for model in args.models)
    command = f"python bench/fixes.py FIXES.jsonl.gz --models {names} --count {args.count}"
    command += f" --offset {args.offset} --seconds {args.seconds:g}"
    with torch.inference_mode():
        for name, model, shown in columns(args.models):
            if len(ranks.get(name, ())) == len(rows):
                continue
            ranks[name] = [rank_of(model, row, shown, args.seconds) for row in rows]
            write(args.out, {"command": command, "ranks": ranks}, rows)
            print(name, file=sys.stderr, flush=True)
    print(json.dumps({name: {t: reached(own, t) for t in TOPS} for name, own in ranks.items()}))


if __name__ == "__main__":
    main()
