"""Does the model's surprise point at the fault? Ranks of the faulty line and token of a function.

    python bench/localize.py --corpus CORPUS --cases CASES.jsonl [--weights FOLDER] [--bugs 300] \
        [--every 2] [--out localize]

1. Bugs put into held-out functions (the operators of training).
2. Cases of bench/repair.py, every K-th: `buggy_solution` against `canonical_solution`.
A line's surprise is the highest of its tokens. Compared: chance (any order of the executable
lines), surprise over all lines, and surprise over the executable ones, which is what is left to
decide where Ochiai ties, as it mostly does with one failing test. Ties are broken by chance, DRAWS
times. Reports the share at rank 1, 3, 5 and the mean reciprocal rank. Writes
bench/results/NAME.json and .md; the last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import random
import statistics
from pathlib import Path

from bench.heldout import Bug, bugs, functions_of
from bench.repair import RESULTS
from bench.surprise import encode_with_surprise, highest
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.propose.window import Window, window
from diffufix.source.functions import docstring_of, functions
from diffufix.source.spans import Text

TOPS = (1, 3, 5)
DRAWS = 20  # orders of what ties
Ranks = dict[str, list[float]]


def lines_of(source: str, view: Window) -> list[int]:
    """The 1-based line of each token: a line break belongs to the line that it begins."""
    text = Text(source)
    return [text.line_of(max(a, b - 1) if source[a] not in "\r\n" else b) for a, b in view.spans]


def draws(scores: dict[int, float], faulty: set[int]) -> list[float]:
    """DRAWS ranks of the best faulty key, ties broken by chance; none if no key is faulty."""
    own = [scores[key] for key in faulty if key in scores]
    if not own:
        return []
    above = sum(score > max(own) for score in scores.values())
    tied = sum(score == max(own) for score in scores.values())
    rng, some = random.Random(tied), own.count(max(own))
    return [above + 1 + min(rng.sample(range(tied), some)) for _ in range(DRAWS)]


def rank(model: LoadedModel, source: str, view: Window, faulty: set[int], tokens: set[int],
         body: range, ranks: Ranks) -> None:  # fmt: skip
    """Add the ranks of one function; `body` is the lines that a test can execute."""
    _, surprises = encode_with_surprise(model, view.ids)
    lines = lines_of(source, view)
    inside: dict[int, list[int]] = {}
    for index, line in enumerate(lines):
        inside.setdefault(line, []).append(index)
    by_line = dict(zip(inside, highest(surprises, inside.values()), strict=True))
    own = {line: score for line, score in by_line.items() if line in body}
    found = {
        "lines, chance": draws(dict.fromkeys(own, 0.0), faulty),
        "lines, surprise": draws(by_line, faulty),
        "lines, surprise among executed": draws(own, faulty),
        "tokens, chance": draws(dict.fromkeys(range(len(lines)), 0.0), tokens),
        "tokens, surprise": draws(dict(enumerate(surprises)), tokens),
    }
    for key, own_ranks in found.items():
        ranks.setdefault(key, []).extend(own_ranks)


def body_of(source: str, qualname: str) -> tuple[ast.AST, range]:
    """A function of a source and the lines of its statements, docstring apart."""
    node = next(node for name, node in functions(ast.parse(source)) if name == qualname)
    statements = node.body[1:] if docstring_of(node) and len(node.body) > 1 else node.body
    return node, range(statements[0].lineno, (node.end_lineno or 0) + 1)


def faulty_tokens(bug: Bug) -> set[int]:
    """Indices of the tokens of a bug's window that the bug touches."""
    start, end = bug.span
    spans = enumerate(bug.view.spans)
    return {i for i, (a, b) in spans if (a < end and start < b) or a == start == end}


def rank_bug(model: LoadedModel, bug: Bug, ranks: Ranks) -> None:
    name = functions(ast.parse(bug.broken))[0][0]
    _, body = body_of(bug.broken, name)
    rank(model, bug.broken, bug.view, bug.lines, faulty_tokens(bug), body, ranks)


def rank_case(model: LoadedModel, case: dict[str, str], ranks: Ranks) -> None:
    source, right = (
        case["declaration"] + case[key] for key in ("buggy_solution", "canonical_solution")
    )
    node, body = body_of(source, case["entry_point"])
    view = window(source, node, model.tokenizer)  # type: ignore[arg-type]
    lines, tokens = set(), set()
    matcher = difflib.SequenceMatcher(None, source.split("\n"), right.split("\n"), autojunk=False)
    for tag, a, b, _, _ in matcher.get_opcodes():
        if tag != "equal":
            lines |= set(range(a + 1, max(a + 1, b) + 1))
    ids = model.tokenizer.encode(right)
    whole, spans = model.tokenizer.encode_with_offsets(source)
    of_ids = difflib.SequenceMatcher(None, whole, ids, autojunk=False)
    for tag, a, b, _, _ in of_ids.get_opcodes():
        if tag != "equal":
            wrong = {spans[i] for i in range(a, min(max(a + 1, b), len(spans)))}
            tokens |= {i for i, span in enumerate(view.spans) if span in wrong}
    rank(model, source, view, lines, tokens, body, ranks)


def table(ranks: Ranks) -> dict[str, dict[str, float]]:
    return {
        key: {"n": len(own) // DRAWS}
        | {f"top{n}": round(sum(r <= n for r in own) / len(own), 4) for n in TOPS}
        | {"mrr": round(statistics.fmean(1 / r for r in own), 4)}
        for key, own in ranks.items()
        if own
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--bugs", type=int, default=300)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--out", default="localize")
    args = parser.parse_args()
    model = load_model(args.weights, device="cpu")
    found: dict[str, Ranks] = {}
    if args.corpus:
        ranks = found.setdefault("held-out functions", {})
        for bug in bugs(functions_of(args.corpus, True), model.tokenizer, args.bugs):
            rank_bug(model, bug, ranks)
    if args.cases:
        ranks = found.setdefault("cases", {})
        for line in args.cases.read_text().splitlines()[:: args.every]:
            rank_case(model, json.loads(line), ranks)
    tables = {name: table(ranks) for name, ranks in found.items()}
    document = {
        "command": "python bench/localize.py --corpus CORPUS --cases CASES.jsonl --weights WEIGHTS "
        f"--bugs {args.bugs} --every {args.every}",
        "model": model.fingerprint[:12],
        "tables": tables,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{args.out}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [f"# {args.out}", "", f"`{document['command']}`", "", f"Weights: {document['model']}."]
    for name, rows in tables.items():
        lines += [
            "",
            f"## {name}",
            "",
            "| rank of the fault among | n | top 1 | top 3 | top 5 | MRR |",
        ]
        lines.append("|---|---|---|---|---|---|")
        for key, row in rows.items():
            tops = " | ".join(f"{row[f'top{n}']:.1%}" for n in TOPS)
            lines.append(f"| {key} | {row['n']} | {tops} | {row['mrr']:.3f} |")
    (RESULTS / f"{args.out}.md").write_text("\n".join(lines) + "\n")
    print(json.dumps(document))


if __name__ == "__main__":
    main()
