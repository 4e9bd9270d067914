"""Does the search reach what people did? Held-out real fixes, version beside version.

    python bench/fixes.py FIXES.jsonl.gz|REAL_BUGS_FOLDER [--models mini,six=FOLDER] [--count 120] \
        [--offset 0] [--seconds 4] [--reach] [--out fixes]

FIXES are lines that `diffufix train fixes` makes pairs of, of repositories that no
model was trained on: the file is then the function and a line `name = None` for each name that the
outline says (a candidate with a name that nothing defines is not made), and models that read an
outline are shown it. REAL_BUGS_FOLDER has bugs.jsonl and trees/ID.tar.xz: whole files, the lines of
a failing test that name the function.

Every model searches the whole function as `repair --function` does, but nothing is run: the rank of
the fix (the same syntax tree) among the distinct candidates of so many seconds of one thread's
processor time, with what the tests say shown and without. `--reach` asks something else, without
models' weights: for how many of the fixes any one hole, filled right, gives the fix. Writes
bench/results/NAME.json and .md after every model; what is in the JSON is not run again. The last
line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import keyword
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch

from bench.repair import RESULTS
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.propose.appended import MAX_ORIGINAL
from diffufix.propose.candidates import EditTarget
from diffufix.propose.failure import failure_text
from diffufix.propose.holes import inside_strings
from diffufix.propose.proposals import FailureContext
from diffufix.propose.propose import propose
from diffufix.propose.surroundings import FileOutline
from diffufix.train.bugs.history import edits_between, told
from diffufix.train.bugs.parsing import function
from diffufix.train.corpus.never import never
from diffufix.types import SuspiciousFunction

TOPS = (1, 5, 20, 100, 1000)
LONGEST = 48  # tokens of a fill
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Case:
    """A file before and after, the function in it that differs, and what is known of it."""

    before: str
    after: str
    qualname: str
    first_line: int
    kind: str
    told: str
    around: FileOutline | None = None

    def subject(self, source: str | None = None) -> EditTarget:
        text = self.before if source is None else source
        last = text.count("\n") + 1
        return EditTarget(
            SuspiciousFunction("f.py", self.qualname, self.first_line, last, 1.0, {}), text
        )  # fmt: skip


def mined(path: Path) -> Iterator[Case]:
    """Fixes of one function with nothing else in their commit."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            alone = row["functions_in_commit"] <= 1 and not row["defs_added"] and row["rank"] < 2
            if row["kind"] != "function" or not alone or row["repo"].lower() in never():
                continue
            texts = [dedent(row[key]) for key in ("before", "after")]
            nodes = [function(text) for text in texts]
            if None in nodes or ast.dump(nodes[0]) == ast.dump(nodes[1]):  # type: ignore[arg-type]
                continue
            names = sorted({*_WORD.findall(row["outline"])} - {*keyword.kwlist})
            tail = "\n\n" + "".join(f"{name} = None\n" for name in names)
            name = row["qualname"].rpartition(".")[2]
            yield Case(
                texts[0] + tail, texts[1] + tail, name, 1, row["edit"],
                told(row["tests"], row["qualname"]), FileOutline(row["outline"]),
            )  # fmt: skip


def real(folder: Path) -> Iterator[Case]:
    """Bugs of whole projects."""
    for line in (folder / "bugs.jsonl").read_text("utf-8").splitlines():
        bug = json.loads(line)
        with tempfile.TemporaryDirectory() as place:
            with tarfile.open(folder / "trees" / f"{bug['id']}.tar.xz") as tree:
                tree.extractall(place, filter="data")
            file = next(Path(place).rglob(bug["path"]))
            before = file.read_text("utf-8")
            root = Path(str(file).removesuffix(bug["path"]))
            test = bug["failing"][0]
            named = [root / test.partition("::")[0], *(root / name for name in bug["tests"])]
            tests = next((path.read_text("utf-8") for path in named if path.is_file()), "")
            command = ["git", "apply", "--unsafe-paths", f"--directory={root}", "-"]
            subprocess.run(command, cwd="/", input=bug["fix"], text=True, check=True)
            after = file.read_text("utf-8")
        said = failure_text("", test, tests, bug["qualname"])
        yield Case(before, after, bug["qualname"], bug["first_line"], bug["kind"], said)


def cases(path: Path, count: int, offset: int) -> list[Case]:
    """In an order that stays the same."""
    found = list(real(path) if path.is_dir() else mined(path))
    random.Random(0).shuffle(found)
    return found[offset : offset + count]


def meaning(text: str, module: bool) -> str | None:
    """The syntax tree of a function that begins at its `def`, or of a module, as a text."""
    try:
        return ast.dump(ast.parse(text)) if module else _dumped(function(text))
    except (SyntaxError, ValueError):
        return None


def _dumped(node: ast.AST | None) -> str | None:
    return None if node is None else ast.dump(node)


def rank_of(model: LoadedModel, case: Case, shown: bool, seconds: float) -> tuple[int | None, int]:
    """The rank, from 1, of the fix among the candidates (None: not reached), and how many."""
    subject, fixed = case.subject(), case.subject(case.after)
    module = case.qualname == "<module>"
    right = meaning(fixed.source[fixed.start : fixed.end], module)
    story = FailureContext("", told=case.told if shown else "", around=case.around)
    made, until = 0, time.process_time() + seconds
    for proposal in propose(model, [subject], story, busy=lambda: True):
        change = subject.change(proposal.hole, proposal.text)
        if change is not None:
            made += 1
            if meaning(subject.edited(change)[1], module) == right:
                return made, made
        if made >= TOPS[-1] or time.process_time() > until:
            break
    return None, made


def reached_by(model: LoadedModel, case: Case) -> bool:
    """Whether one hole, short enough before and after, covers all that the fix changes."""
    subject, fixed = case.subject(), case.subject(case.after)
    old = subject.source[subject.start : subject.end]
    new = fixed.source[fixed.start : fixed.end]
    edits = edits_between(old, new)  # of the new text
    first, last = edits[0].start, edits[-1].end
    start, end = subject.start + first, subject.start + len(old) - (len(new) - last)
    spans = [(hole.start, hole.end) for hole in subject.holes()]
    if model.family.outline is not None and subject.node is not None:
        spans += [(h.start, h.end) for h in inside_strings(subject.source, subject.node)]
        spans += [(start, end)] if start == end else []
    for a, b in spans:
        if a <= start and end <= b:
            left, right = a - subject.start, len(old) - (b - subject.start)
            fill = new[left : len(new) - right]
            lengths = (len(model.tokenizer.encode(text)) for text in (subject.source[a:b], fill))
            if all(map(int.__le__, lengths, (MAX_ORIGINAL, LONGEST))):
                return True
    return False


def columns(models: Sequence[str]) -> Iterator[tuple[str, LoadedModel, bool]]:
    for entry in models:
        name, _, folder = entry.partition("=")
        model = load_model(folder or name, device="cpu", dtype="float32")
        for shown in (True, False) if model.family.failure else (False,):
            yield f"{name}, {'shown' if shown else 'hidden'}", model, shown


Ranks = dict[str, list[tuple[int | None, int]]]


def hits(own: Sequence[tuple[int | None, int]], top: int) -> int:
    return sum(rank is not None and rank <= top for rank, _ in own)


def write(out: str, document: dict[str, Any], found: Sequence[Case]) -> None:
    (RESULTS / f"{out}.json").write_text(json.dumps(document) + "\n")
    ranks: Ranks = document["ranks"]
    head = " | ".join(f"top {top}" for top in TOPS)
    lines = [f"# Real fixes, held out: {len(found)}", "", f"`{document['command']}`", "",
             f"| model, failure | {head} | candidates, median |", "|---|" + "---|" * 6]  # fmt: skip
    for name, own in ranks.items():
        counts = " | ".join(str(hits(own, top)) for top in TOPS)
        lines.append(f"| {name} | {counts} | {sorted(n for _, n in own)[len(own) // 2]} |")
    lines += ["", "By kind of edit, within the first hundred:", ""]
    lines += [f"| edit | fixes | {' | '.join(ranks)} |", "|---|---|" + "---|" * len(ranks)]
    for kind, _ in Counter(case.kind for case in found).most_common(12):
        mine = [i for i, case in enumerate(found) if case.kind == kind]
        row = " | ".join(str(hits([r[i] for i in mine], 100)) for r in ranks.values())
        lines.append(f"| {kind} | {len(mine)} | {row} |")
    (RESULTS / f"{out}.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("fixes", type=Path)
    parser.add_argument("--models", type=lambda text: text.split(","), default=["mini"])
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--reach", action="store_true")
    parser.add_argument("--out", default="fixes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = cases(args.fixes, args.count, args.offset)
    if args.reach:
        loaded = {name: load_model(name.partition("=")[2] or name) for name in args.models}
        counts = {n: sum(reached_by(m, case) for case in found) for n, m in loaded.items()}
        print(json.dumps({"fixes": len(found), "within reach": counts}))
        return
    file = RESULTS / f"{args.out}.json"
    ranks: Ranks = json.loads(file.read_text())["ranks"] if file.exists() else {}
    source = "REAL_BUGS_FOLDER" if args.fixes.is_dir() else "FIXES.jsonl.gz"
    names = ",".join(re.sub("=.*", "=FOLDER", model) for model in args.models)
    command = f"python bench/fixes.py {source} --models {names} --count {args.count}"
    command += f" --offset {args.offset} --seconds {args.seconds:g}"
    with torch.inference_mode():
        for name, model, shown in columns(args.models):
            if len(ranks.get(name, ())) == len(found):
                continue
            ranks[name] = [rank_of(model, case, shown, args.seconds) for case in found]
            write(args.out, {"command": command, "ranks": ranks}, found)
            print(name, file=sys.stderr, flush=True)
    print(json.dumps({name: {t: hits(own, t) for t in TOPS} for name, own in ranks.items()}))


if __name__ == "__main__":
    main()
