"""Can a repair of real bugs be said at all? Counts, for known fixes, what would express them.

    python bench/reach.py FIXES [--count 1000] [--out NAME] [--list]

FIXES is a file of pairs (`fixes/heldout.jsonl.gz`: functions before and after, with the outline of
their file) or a folder of real bugs (`bugs.jsonl` and `trees/`). For each fix of one function, or
of statements outside of functions, that changes what the code means:
- edit: an enumerated edit (mutations backwards, moves, donors) gives the same syntax;
- two: two enumerated edits do, or one that is made in several places alike;
- hole: one hole holds all that differs, with at most 40 tokens before and 24 after;
- names: the identifiers of the new text stand in the function, the file or the project, or are
  builtins or standard keyword arguments.
No model decides and nothing is run. With --out results go to bench/results/NAME.json and .md. The
last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import difflib
import gzip
import json
import keyword
import re
import subprocess
import tarfile
import tempfile
import textwrap
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import diffufix.model
from bench.repair import RESULTS
from diffufix.model.tokenizer import Tokenizer, load_tokenizer
from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.code import Code
from diffufix.propose.edits.enumerate import edits_of
from diffufix.propose.edits.pool import Pool, make_pool
from diffufix.propose.shown import own_test
from diffufix.source.edits import Edit
from diffufix.source.functions import FunctionNode, functions
from diffufix.source.spans import Text, Token, lexical_tokens
from diffufix.source.syntax import parse
from diffufix.types import SuspiciousFunction

MAX_OLD, MAX_NEW = 40, 24  # tokens of a hole before, and of the new text


@dataclass
class Fix:
    """A file's text before and after, and where the function is; `<module>` for no function."""

    name: str
    kind: str
    source: str
    fixed: str
    qualname: str
    line: int = 1
    outline: str = ""
    others: dict[str, str] = field(default_factory=dict)
    tests: str = ""  # lines of the failing tests
    project: str = ""


class Target:
    """Says whether an edit makes the fixed text, by its tokens first and its syntax then."""

    def __init__(self, source: str, fixed: str) -> None:
        self.source, self.tree = source, ast.dump(parse(fixed))
        self.old, self.new = lexical_tokens(Text(source)), lexical_tokens(Text(fixed))
        self.before = list(map(_plain, self.old))
        self.after = "".join(map(_plain, self.new))
        self.starts = [t.start for t in self.old]
        self.fixed = fixed
        self.whole = "".join(self.before)
        self.at = list(accumulate(map(len, self.before), initial=0))  # of tokens in `whole`
        self.head = _shared(self.whole, self.after)
        self.tail = _shared(self.whole[::-1], self.after[::-1])

    def is_hit(self, edit: Edit) -> bool:
        first, last, text = self._placed(edit)
        left = len(self.whole) - last
        if first > self.head or left > self.tail:
            return False
        if first + len(text) + left != len(self.after):
            return False
        if self.after[first : first + len(text)] != text:
            return False
        return self.same(self.source[: edit.start] + edit.text + self.source[edit.end :])

    def same(self, text: str) -> bool:
        try:
            return ast.dump(parse(text)) == self.tree
        except (SyntaxError, ValueError):
            return False

    def _placed(self, edit: Edit) -> tuple[int, int, str]:
        """Where an edit is in `whole`, and what it puts there."""
        first, last = (self.at[bisect_left(self.starts, x)] for x in (edit.start, edit.end))
        return first, last, _plain_text(edit.text)

    def two(self, edits: Sequence[Edit]) -> bool:
        """Whether two of the edits together make the fixed text."""
        firsts: list[tuple[int, Edit]] = []
        lasts: list[tuple[int, int, Edit]] = []
        more = len(self.after) - len(self.whole)
        for edit in edits:
            first, last, text = self._placed(edit)
            if first <= self.head and self.after.startswith(text, first):
                firsts.append((last, edit))
            end = last + more
            left = len(self.whole) - last
            if left <= self.tail and self.after.endswith(text, 0, end):
                lasts.append((first, end - len(text), edit))
        source, tried = self.source, 0
        for end, one in firsts:
            first, _, text = self._placed(one)
            put = first + len(text)
            for begin, there, two in lasts:
                if two.start < one.end or two == one or begin < end:
                    continue
                if there - put != begin - end or self.whole[end:begin] != self.after[put:there]:
                    continue
                tried += 1
                made = source[: one.start] + one.text + source[one.end : two.start]
                if self.same(made + two.text + source[two.end :]):
                    return True
                if tried > 60:
                    return False
        return False

    def regions(self) -> list[tuple[int, int, str]]:
        """(start, end) in the source and what stands there after, for each run that differs."""
        old = [t.string for t in self.old]
        new = [t.string for t in self.new]
        matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
        found = []
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag == "equal":
                continue
            at = self.old[a - 1].end if a else 0
            start, end = (self.old[a].start, self.old[b - 1].end) if b > a else (at, at)
            text = self.fixed[self.new[c].start : self.new[d - 1].end] if d > c else ""
            found.append((start, end, text))
        return found


def _shared(one: str, two: str) -> int:
    """How many characters they begin with alike."""
    least = min(len(one), len(two))
    return next((i for i in range(least) if one[i] != two[i]), least)


def _plain(token: Token) -> str:
    return _plain_text(token.string)


def _plain_text(text: str) -> str:
    """Without blanks, round brackets, commas and the kind of quotes: a cheap first look."""
    return re.sub(r"[\s(),\"']", "", text)


# -- what is known of fixes ----------------------------------------------------------------------


def fixes(path: Path) -> Iterator[Fix]:
    if path.is_dir():
        yield from _real(path)
        return
    with gzip.open(path, "rt") as file:
        for row in map(json.loads, file):
            before, after = textwrap.dedent(row["before"]), textwrap.dedent(row["after"])
            if row["kind"] == "import":
                continue
            name = row["qualname"].split(".")[-1] if row["kind"] == "function" else "<module>"
            fix = Fix(f"{row['repo']}@{row['commit'][:8]}", row["edit"], before, after, name)
            fix.outline, fix.tests = row["outline"], row["tests"]
            yield fix


def _real(folder: Path) -> Iterator[Fix]:
    for bug in map(json.loads, (folder / "bugs.jsonl").open()):
        with (
            tempfile.TemporaryDirectory() as name,
            tarfile.open(folder / "trees" / f"{bug['id']}.tar.xz") as archive,
        ):
            archive.extractall(name, filter="tar")
            file = Path(name) / bug["path"]
            source = file.read_text()
            others = {
                str(p): p.read_text(errors="replace")
                for p in sorted(file.parent.rglob("*.py"))[:60]
                if p != file and "test" not in str(p.relative_to(name))
            }
            subprocess.run(
                ["git", "apply", "--whitespace=nowarn", "--unsafe-paths", f"--directory={name}",
                 "-"],
                cwd=name, input=bug["fix"].encode(), check=True,
            )  # fmt: skip
            fixed = file.read_text()
            path, test = bug["failing"][0].partition("::")[0], bug["failing"][0]
            found = next(p for p in sorted(Path(name).rglob(path)) if p.is_file())
            tests = own_test(found.read_text(), test)
        yield Fix(bug["id"], bug["kind"], source, fixed, bug["qualname"], bug["first_line"],
                  others=others, tests=tests)  # fmt: skip


def outline_text(outline: str) -> str:
    """An outline as Python: classes get a body, fields are said in it."""
    lines: list[str] = []
    rows = [line for line in outline.split("\n") if line.strip()]
    for i, line in enumerate(rows):
        indent = len(line) - len(line.lstrip())
        fields = re.match(r"\s*# self: (.*)", line)
        if fields:
            names = [n for n in re.split(r"[,\s]+", fields.group(1)) if n.isidentifier()]
            lines.append(f"{' ' * indent}def _fields(self):")
            lines += [f"{' ' * indent}    self.{n}" for n in names] or [f"{' ' * indent}    ..."]
            continue
        lines.append(line)
        following = rows[i + 1] if i + 1 < len(rows) else ""
        deeper = len(following) - len(following.lstrip()) > indent
        if line.rstrip().endswith(":") and not deeper:
            lines[-1] += " ..."
    kept = list(lines)
    while kept:  # what was cut at its end does not parse
        try:
            parse("\n".join(kept))
            return "\n".join(kept)
        except SyntaxError as error:
            del kept[min(len(kept) - 1, max(0, (error.lineno or len(kept)) - 1))]
    return ""


def code_of(fix: Fix) -> tuple[Code, Pool] | None:
    tree = parse(fix.source)
    node: FunctionNode | ast.Module | None = tree
    if fix.qualname != "<module>":
        found = [n for q, n in functions(tree) if q == fix.qualname]
        node = min(found, key=lambda n: abs(n.lineno - fix.line)) if found else None
    if node is None:
        return None
    lines = None
    if isinstance(node, ast.Module) and fix.others:
        lines = dict.fromkeys(range(fix.line - 2, fix.line + 12), 1.0)
    code = Code(fix.source, node, lines)
    pool = make_pool(fix.source, code, fix.others)
    if fix.outline:
        text = outline_text(fix.outline)
        pool.add_module(text, parse(text))
    return code, pool


# -- what each fix needs -------------------------------------------------------------------------


def look(fix: Fix, encode: Tokenizer) -> dict[str, object] | None:
    try:
        target = Target(fix.source, fix.fixed)
        made = code_of(fix)
    except (SyntaxError, ValueError, RecursionError):
        return None
    if made is None or target.same(fix.source):
        return None
    code, pool = made
    began = time.perf_counter()
    edits = edits_of(code, pool)
    seconds = time.perf_counter() - began
    hits = [e for e in edits if target.is_hit(e)]
    regions = target.regions()
    row: dict[str, object] = {
        "name": fix.name, "kind": fix.kind, "edits": len(edits), "seconds": round(seconds, 4),
        "regions": len(regions), "edit": hits[0].kind if hits else "",
    }  # fmt: skip
    row["two"] = not hits and (_alike(fix, regions) or target.two(edits))
    row["hole"] = _hole(fix, code, regions, encode)
    row["names"], row["strange"] = _names(fix, code, pool, regions)
    lines = fix.source.split("\n")
    span = (
        code.text.span(code.node) if isinstance(code.node, FunctionNode) else (0, len(fix.source))
    )
    row["length"] = len(encode.encode(fix.source[span[0] : span[1]])) if lines else 0
    return row


def _alike(fix: Fix, regions: list[tuple[int, int, str]]) -> bool:
    said = {(fix.source[a:b], text) for a, b, text in regions}
    return len(regions) > 1 and len(said) == 1


def _hole(fix: Fix, code: Code, regions: list[tuple[int, int, str]], encode: Tokenizer) -> str:
    """The kind of the smallest hole that holds all regions and is small enough; empty: none."""
    if not regions:
        return ""
    start, end = regions[0][0], regions[-1][1]
    suspect = SuspiciousFunction("f.py", fix.qualname, fix.line, fix.line, 1.0, {})
    subject = EditTarget(suspect, fix.source)
    fits = [h for h in subject.holes() if h.start <= start and end <= h.end]
    for hole in sorted(fits, key=lambda h: h.end - h.start):
        old = len(encode.encode(fix.source[hole.start : hole.end]))
        text, at = "", hole.start
        for a, b, new in regions:
            text, at = text + fix.source[at:a] + new, b
        new_tokens = len(encode.encode(text + fix.source[at : hole.end]))
        if old <= MAX_OLD and new_tokens <= MAX_NEW:
            return str(hole.kind)
    return ""


def _names(
    fix: Fix, code: Code, pool: Pool, regions: list[tuple[int, int, str]]
) -> tuple[bool, list[str]]:
    known = set(re.findall(r"\w+", fix.source)) | set(dir(builtins)) | set(keyword.kwlist)
    known |= set(re.findall(r"\w+", fix.outline))
    for text in fix.others.values():
        known |= set(re.findall(r"\w+", text))
    for names in pool.parameters.values():
        known |= set(names)
    new: set[str] = set()
    for _, _, text in regions:
        try:
            tokens = lexical_tokens(Text(text.replace("\n", " ")))
        except Exception:
            continue
        new |= {t.string for t in tokens if t.type == "name"}
    strange = sorted(new - known)
    return not strange, strange


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("fixes", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--out", help="name of the files in bench/results")
    parser.add_argument("--list", action="store_true", help="a line for each fix")
    args = parser.parse_args()
    encode = load_tokenizer(Path(diffufix.model.__file__).parent / "mini")
    rows: list[dict[str, object]] = []
    for fix in fixes(args.fixes):
        row = look(fix, encode)
        if row is None:
            continue
        rows.append(row)
        if args.list:
            print(json.dumps(row))
        if len(rows) >= args.count:
            break
    total = summary(rows)
    if args.out:
        write(args.out, rows, total)
    print(json.dumps(total))


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    n = max(1, len(rows))

    def share(wanted: list[bool]) -> float:
        return round(100 * sum(wanted) / n, 1)

    return {
        "fixes": len(rows),
        "edit %": share([bool(r["edit"]) for r in rows]),
        "edit or two %": share([bool(r["edit"] or r["two"]) for r in rows]),
        "hole %": share([bool(r["hole"]) for r in rows]),
        "hole and names %": share([bool(r["hole"] and r["names"]) for r in rows]),
        "any %": share([bool(r["edit"] or r["two"] or r["hole"]) for r in rows]),
        "any and names %": share(
            [bool(r["edit"] or r["two"] or (r["hole"] and r["names"])) for r in rows]
        ),
        "one region %": share([r["regions"] == 1 for r in rows]),
        "names %": share([bool(r["names"]) for r in rows]),
        "over the window %": share([int(str(r["length"])) > 320 for r in rows]),
        "edits": round(sum(int(str(r["edits"])) for r in rows) / n),
        "seconds to enumerate": round(sum(float(str(r["seconds"])) for r in rows) / n, 4),
        "kinds": dict(Counter(str(r["edit"]) for r in rows if r["edit"]).most_common()),
        "holes": dict(Counter(str(r["hole"]) for r in rows if r["hole"]).most_common()),
    }


def write(name: str, rows: list[dict[str, object]], total: dict[str, object]) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps({"total": total, "fixes": rows}) + "\n")
    lines = [f"# {name}", "", "| what | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in total.items() if not isinstance(value, dict)]
    for key in ("kinds", "holes"):
        kinds = total[key]
        assert isinstance(kinds, dict)
        lines += ["", f"| {key} | fixes |", "|---|---|"]
        lines += [f"| {kind} | {count} |" for kind, count in kinds.items()]
    by_kind: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        by_kind.setdefault(str(row["kind"]), []).append(row)
    lines += ["", "| kind of fix | fixes | edit or two | hole | any |", "|---|---|---|---|---|"]
    for kind, own in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        counts = [
            sum(bool(r["edit"] or r["two"]) for r in own),
            sum(bool(r["hole"]) for r in own),
            sum(bool(r["edit"] or r["two"] or r["hole"]) for r in own),
        ]
        lines.append(f"| {kind} | {len(own)} | " + " | ".join(map(str, counts)) + " |")
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
