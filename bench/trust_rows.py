"""Evidence and judgement of the green candidates that trust_collect.py kept.

    python bench/trust_rows.py COLLECTED ROWS.jsonl [--most 12] [--inputs 1000]

For every case: the evidence as the product gathers it (on the faulty project), and for each green
candidate right, wrong or undecided: the same syntax tree as the reference fix is right; else both
are run on the calls that the tests make of the reference and on inputs made from them, and over all
the case's tests. A candidate that fails a test of the reference is wrong, one that differs on a
recorded call too, or on more than a hundredth of the made-up inputs (both raising counts as the
same); one that never differs in at least 100 inputs, on which the fault differs from its fix, is
right; the rest is undecided. ROWS.jsonl gets a line a case; cases that it has are left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.trust_cases import Case, dump, outcomes
from diffufix.evaluation.rightness import differs, sees
from diffufix.repair.ranking import rank_cost
from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.trust.assess import Green, Judged, assess
from diffufix.trust.calls import Observer, Scene, Watched
from diffufix.trust.strength import MutantCounts
from diffufix.types import State

TRUTHS = {True: "right", False: "wrong", None: "undecided"}
AFTER = 80  # candidates that were tried within two seconds of the first success


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("collected", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--most", type=int, default=10, help="green candidates a case")
    parser.add_argument("--inputs", type=int, default=1000)
    args = parser.parse_args()
    done = set()
    if args.rows.exists():
        done = {json.loads(line)["id"] for line in args.rows.read_text().splitlines()}
    for path in sorted(args.collected.glob("*.json.gz"), key=lambda p: p.stat().st_mtime):
        name = path.name.removesuffix(".json.gz")
        if name in done:
            continue
        with gzip.open(path, "rt") as file:
            collected = json.load(file)
        row = row_of(collected, args.most, args.inputs)
        with args.rows.open("a") as out:
            out.write(json.dumps(row) + "\n")
        said = [f"{g['truth']}:{g['probability']:.2f}" for g in row["greens"]]
        print(name, row["tried"], *said, flush=True)


def row_of(collected: dict[str, Any], most: int, inputs: int) -> dict[str, Any]:
    case = case_of(collected["case"])
    tried = collected.get("tried", [])
    goals = collected.get("goals", [])
    for goal in goals:  # what was accepted is no target any more
        goal["targets"] = goal["targets"] or sorted({t for g in goal["passed"].values() for t in g})
    row: dict[str, Any] = {"id": case.id, "project": case.project, "source": case.source,
           "load": collected.get("load"), "tried": len(tried), "greens": []}  # fmt: skip
    passed = {int(k) for goal in goals for k, green in goal["passed"].items()
              if set(green) >= set(goal["targets"])}  # fmt: skip
    chosen = [(n, c) for n, c in enumerate(tried, 1) if c["id"] in passed][:most]
    if not chosen:
        return row
    judged, greens = evidence_of(case, goals[0], tried, chosen)
    buggy = texts_of(case, greens)
    truths = judge(case, [{g.path: edited(buggy[g.path], g)} for g in greens], goals[0], inputs)
    first = chosen[0][0]
    for each in judged:
        green, (number, raw) = greens[each.index], chosen[each.index]
        old, new = _function(buggy[green.path], green)
        row["greens"].append(
            {
                "truth": truths[each.index][0], "why": truths[each.index][1],
                "features": each.evidence.features(), "evidence": each.evidence.document(),
                "probability": each.probability, "group": each.group, "refused": each.refused,
                "badness": rank_cost(old, new, raw["score"], goals[0]["tests_source"]),
                "early": number <= first + AFTER, "number": number,
                "edit": [buggy[green.path][green.start : green.end], green.text],
                "qualname": green.qualname,
                "apart": each.difference.words("the first", "this one") if each.difference else "",
            }
        )  # fmt: skip
    return row


def case_of(told: Mapping[str, Any]) -> Case:
    archive = None if told["archive"] in (None, "None") else Path(told["archive"])
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return Case(**{**values, "archive": archive})


def texts_of(case: Case, greens: Sequence[Green]) -> dict[str, str]:
    """The faulty file and the other files that candidates change."""
    others = {green.path for green in greens} - {case.path}
    with tempfile.TemporaryDirectory(prefix="trust-t-") as name:
        folder = Path(name) / "project"
        if others:
            case.lay(folder)
        return {case.path: case.buggy} | {p: (folder / p).read_bytes().decode() for p in others}


def evidence_of(
    case: Case, goal: Mapping[str, Any], tried: Sequence[Mapping[str, Any]],
    chosen: Sequence[tuple[int, Mapping[str, Any]]],
) -> tuple[list[Judged], list[Green]]:  # fmt: skip
    """As at the end of the search that tried all of `tried`."""
    subjects = goal["subjects"]
    ranks = {(s["path"], s["qualname"]): n for n, s in enumerate(subjects, 1)}
    covering = {(s["path"], s["qualname"]): s["covering"] for s in subjects}
    greens = []
    for number, raw in chosen:
        key = raw["path"], raw["qualname"]
        greens.append(
            Green(
                raw["path"], raw["start"], raw["end"], raw["text"], raw["qualname"], raw["kind"],
                raw["logp"], raw["score"], number, len(goal["targets"]),
                len(covering.get(key, ())), ranks.get(key, 1), raw["suspicion"],
            )
        )  # fmt: skip
    buggy = texts_of(case, greens)
    tally = MutantCounts(buggy)
    for each in tried:
        if each["path"] in buggy:
            tally.note(each["path"], each["start"], each["end"], State(each["state"]))
    watched = [Watched(s["path"], s["qualname"], s["first_line"]) for s in subjects
               if s["path"] in buggy]  # fmt: skip
    tests = list(dict.fromkeys([*goal["targets"], *(t for s in subjects for t in s["covering"])]))
    with tempfile.TemporaryDirectory(prefix="trust-e-") as name:
        scene = scene_of(case, buggy, tests, watched)
        with Observer(sandboxes(case, case.buggy, Path(name)), scene) as observer:
            found = assess(greens, observer, tally, len(tried), goal["tests_source"])
    return found, greens


def judge(
    case: Case, changes: Sequence[Mapping[str, str]], goal: Mapping[str, Any], inputs: int
) -> list[tuple[str, str]]:
    """(right, wrong or undecided, why) of each candidate's changed files."""
    reference = dump(case.fixed)
    same = [dump(change.get(case.path, "")) == reference for change in changes]
    found = [("right", "same tree") if each else ("", "") for each in same]
    rest = [i for i, (truth, _) in enumerate(found) if not truth]
    if not rest:
        return found
    subjects = goal["subjects"]
    watched = [Watched(s["path"], s["qualname"], s["first_line"]) for s in subjects
               if s["path"] == case.path]  # fmt: skip
    if case.qualname and not any(w.qualname == case.qualname for w in watched):
        watched.append(Watched(case.path, case.qualname, 1))
    tests = list(dict.fromkeys([*goal["targets"], *(t for s in subjects for t in s["covering"])]))
    with tempfile.TemporaryDirectory(prefix="trust-j-") as name:
        scene = scene_of(case, {case.path: case.fixed}, tests, watched, inputs)
        with Observer(sandboxes(case, case.fixed, Path(name)), scene) as observer:
            files = [{case.path: case.buggy, **changes[i]} for i in rest]
            files.append({case.path: case.buggy})
            *recordings, faulty = observer.observe(files)
            fixed = observer.original
            own = observer.recorded
        folder = Path(name) / "suite"
        case.lay(folder)
        seen = sees(fixed, faulty)
        for i, recording in zip(rest, recordings, strict=True):
            said = differs(fixed, recording, own)
            found[i] = (TRUTHS[said.right], said.why)
            if found[i][0] == "right" and not seen:
                found[i] = ("undecided", "the comparison does not see the fault either")
            if found[i][0] == "right":
                for path, text in changes[i].items():
                    (folder / path).write_bytes(text.encode())
                failed, passed = outcomes(case, folder)
                case.lay(folder)
                if failed or not passed:
                    found[i] = ("wrong", f"{failed} tests fail")
    return found


def scene_of(
    case: Case, texts: Mapping[str, str], tests: Sequence[str], watched: Sequence[Watched],
    inputs: int = 150,
) -> Scene:  # fmt: skip
    return Scene(
        case.python, case.tests, Path("/project"), tuple(tests), tuple(watched),
        dict(texts), 5.0, made_up=inputs, play_seconds=1.5 if inputs <= 150 else 10.0,
    )  # fmt: skip


def sandboxes(case: Case, text: str, scratch: Path) -> Callable[[], Sandbox]:
    def make() -> Sandbox:
        tree = Path(tempfile.mkdtemp(dir=scratch)) / "project"
        case.lay(tree)
        (tree / case.path).write_bytes(text.encode())
        extra = [str(tree / p) for p in case.pythonpath if p not in (".", "src")]
        os.environ["PYTHONPATH"] = os.pathsep.join([*extra, *([str(tree / "src")] * (
            tree / "src").is_dir())])  # fmt: skip
        return LocalSandbox(tree, python=case.python)

    return make


def edited(text: str, green: Green) -> str:
    return text[: green.start] + green.text + text[green.end :]


def _function(text: str, green: Green) -> tuple[str, str]:
    """The lines around the edit before and after, for the ranking as it was before."""
    start = text.rfind("\n", 0, green.start) + 1
    end = text.find("\n", green.end) % (len(text) + 1)
    return text[start:end], text[start : green.start] + green.text + text[green.end : end]


if __name__ == "__main__":
    main()
