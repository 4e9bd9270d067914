"""Are our verdicts those of the evalplus and bigcodebench packages, sample by sample?

    python bench/verdicts.py --with PYTHON [--out verdicts]

PYTHON is an interpreter that has evalplus, bigcodebench and what they import (`pip install
evalplus matplotlib`, `pip install --no-deps bigcodebench`). The problems are our own, in the
publishers' formats (tests/support/suites.py), the completions a fixed set: right ones, wrong ones,
results of another type, within and beyond a tolerance, hangs, exits, broken syntax. Both judge
them; a program that forges a verdict is listed apart. With --out results go to
bench/results/NAME.json and .md. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from diffufix.evaluation.prompts import solution_of  # noqa: E402
from diffufix.evaluation.suites import bigcode, coding  # noqa: E402
from diffufix.evaluation.verdicts import ProgramJudge  # noqa: E402
from tests.support import suites  # noqa: E402

RESULTS = ROOT / "bench" / "results"

#: Runs in PYTHON: reads problems and programs, prints the packages' verdicts.
THEIRS = """
import json, sys
from importlib.metadata import version
from evalplus.data.mbpp import mbpp_deserialize_inputs
from evalplus.eval import untrusted_check as plus
from evalplus.gen.util import trusted_exec
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS as NOT_NONE
from bigcodebench.eval import untrusted_check as big

job = json.load(sys.stdin)
found = []
for problem, programs in job["plus"]:
    dataset = "mbpp" if problem["task_id"].startswith("Mbpp") else "humaneval"
    entry = problem["entry_point"]
    reference = problem["prompt"] + problem["canonical_solution"]
    levels = {}
    for level in ("base", "plus"):
        inputs = problem[level + "_input"]
        if dataset == "mbpp":
            inputs = mbpp_deserialize_inputs(problem["task_id"], inputs)
        wanted, seconds = trusted_exec(
            reference, inputs, entry, record_time=True, output_not_none=entry in NOT_NONE)
        levels[level] = (inputs, wanted, seconds)
    for program in programs:
        found.append({
            level: plus(dataset, program, inputs, entry, expected=wanted, atol=problem["atol"],
                        ref_time=seconds, fast_check=True)[0]
            for level, (inputs, wanted, seconds) in levels.items()})
for problem, programs in job["big"]:
    for program in programs:
        state, _ = big(program, problem["test"], problem["entry_point"], 30 * 1024, 30 * 1024, 10)
        found.append({"base": state})
names = {name: version(name) for name in ("evalplus", "bigcodebench")}
print(json.dumps({"versions": names, "verdicts": found}))
"""

#: Of each function of the suites: what a model may have written instead of its body.
EXTRA = {
    "spread": (
        "    return float(max(values) - min(values)) if values else 0\n",
        "    print(values)\n    return max(values) - min(values) if values else 0\n",
        "    return str(max(values) - min(values)) if values else '0'\n",
        "    values.sort()\n    return values[-1] - values[0] if values else 0\n",
        "    import sys\n    sys.exit(0)\n",
        "    raise SystemExit\n",
        "    return (max(values) - min(values)\n",
        "    input()\n    return 0\n",
        "    return True if not values else max(values) - min(values)\n",
        "    def deep(n):\n        return deep(n + 1)\n    return deep(0)\n",
    ),
    "share_of_vowels": (
        '    return sum(c in "aeiou" for c in word) / len(word) + 1e-9\n',
        '    return sum(c in "aeiou" for c in word) / len(word) + 1e-3\n',
        '    return round(sum(c in "aeiou" for c in word) / len(word), 7)\n',
        '    return str(sum(c in "aeiou" for c in word) / len(word))\n',
        '    return int(sum(c in "aeiou" for c in word) == len(word)) or 0.5\n',
        '    return float("nan")\n',
        "    return None\n",
    ),
    "joined": (
        "    return list(names)\n",
        '    return ", ".join(names[:-1]) + f" {last} {names[-1]}"\n',
        "    pass\n",
        "    return names[0] if names else ''\n",
    ),
    "keep_even": (
        "    return [row for row in rows if not sum(row) % n]\n",
        "    return tuple(row for row in rows if sum(row) % n == 0)\n",
        "    return [list(row) for row in rows if sum(row) % n == 0]\n",
        "    return str([row for row in rows if sum(row) % n == 0])\n",
    ),
    "similar_elements": (
        "    return set(a) & set(b)\n",
        "    return sorted(set(a) & set(b))\n",
        "    return set(a) | set(b)\n",
        "    return None\n",
    ),
}
OWN_EQUALITY = "class Same:\n    def __eq__(self, other):\n        return True\n\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--with", dest="python", required=True)
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = compare(args.python)
    same = sum(row["ours"] == row["theirs"] for row in rows["samples"])
    total = {"versions": rows["versions"], "samples": len(rows["samples"]), "same": same,
             "levels": sum(len(row["ours"]) for row in rows["samples"]),
             "passing": sum("pass" in row["theirs"].values() for row in rows["samples"]),
             "differ": [row for row in rows["samples"] if row["ours"] != row["theirs"]],
             "forged": rows["forged"]}  # fmt: skip
    if args.out:
        write(args.out, rows, total)
    print(json.dumps(total))


def compare(python: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plus = [
            *_problems(suites.humaneval_plus(folder / "he.jsonl"), coding.humaneval_plus),
            *_problems(suites.mbpp_plus(folder / "mbpp.jsonl"), coding.mbpp_plus),
        ]
        big = _problems(suites.bigcodebench(folder / "big.jsonl"), bigcode.complete)
    told: dict[str, Any] = {"plus": [], "big": []}
    ours: list[tuple[str, str, dict[str, str]]] = []
    forged = []
    with ProgramJudge(sandbox="local") as judge:
        for kind, problems in (("plus", plus), ("big", big)):
            for raw, problem in problems:
                programs = _programs(problem)
                told[kind].append([raw, programs])
                found = judge.judge(programs, problem.checks, problem.entry_point).result()
                ours += [
                    (problem.id, program, {k: _plain(v.state) for k, v in each.items()})
                    for program, each in zip(programs, found, strict=True)
                ]
        raw, problem = plus[0]
        forging = OWN_EQUALITY + problem.left + "    return Same()\n"
        told["plus"].append([raw, [forging]])
        state = judge.judge([forging], problem.checks, problem.entry_point).result()[0]
        forged.append({"program": forging, "ours": {k: v.state for k, v in state.items()}})
    ran = subprocess.run(
        [python, "-c", THEIRS], input=json.dumps(told), capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(ran.stderr[-2000:])
    answer = json.loads(ran.stdout.splitlines()[-1])
    # Theirs are in the order of `told`: EvalPlus' problems, the forging one, BigCodeBench's.
    cut = sum(len(programs) for _, programs in told["plus"]) - 1
    theirs = answer["verdicts"][:cut] + answer["verdicts"][cut + 1 :]
    forged[0]["theirs"] = answer["verdicts"][cut]
    samples = [
        {"task": task, "program": program, "ours": own,
         "theirs": {level: _plain(state) for level, state in other.items()}}
        for (task, program, own), other in zip(ours, theirs, strict=True)
    ]  # fmt: skip
    return {"versions": answer["versions"], "samples": samples, "forged": forged}


def _problems(path: Path, read: Any) -> list[tuple[dict[str, Any], Any]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return list(zip(rows, read(path), strict=True))


def _programs(problem: Any) -> list[str]:
    known = {name: wrong for name, _, _, wrong, _ in suites.FUNCTIONS}
    wrong = known.get(problem.entry_point, ())
    if problem.entry_point == "task_func":
        wrong = suites.BIG_WRONG
    head = problem.prelude + problem.left
    if problem.id.startswith("Mbpp"):  # the prompt is a docstring alone
        head += problem.solution[: problem.solution.index(":\n") + 2]
    bodies = [*wrong, *EXTRA.get(problem.entry_point, ())]
    return [solution_of(problem), *(head + body for body in bodies), "", "x = 1\n"]


def _plain(state: str) -> str:
    """Both say timeout of what hangs; where one input hangs EvalPlus says fail or timeout."""
    return "pass" if state == "pass" else "not"


def write(name: str, rows: dict[str, Any], total: dict[str, Any]) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    versions = ", ".join(f"{package} {number}" for package, number in total["versions"].items())
    lines = [f"# {name}", "", "`python bench/verdicts.py --with PYTHON --out verdicts`", ""]
    lines += [f"Against {versions}: {total['same']} of {total['samples']} programs have the same "
              f"verdicts at every level ({total['levels']} verdicts, {total['passing']} programs "
              "pass at one at least).", ""]  # fmt: skip
    lines += ["| task | programs | same | pass, ours | pass, theirs |", "|---|---|---|---|---|"]
    for task in dict.fromkeys(row["task"] for row in rows["samples"]):
        own = [row for row in rows["samples"] if row["task"] == task]
        cells = [len(own), sum(row["ours"] == row["theirs"] for row in own)]
        cells += [sum("pass" in row[who].values() for row in own) for who in ("ours", "theirs")]
        lines.append(f"| {task} | " + " | ".join(map(str, cells)) + " |")
    forged = rows["forged"][0]
    lines += ["", "A program whose results call themselves equal to anything: "
              f"{_said(forged['theirs'])} there, {_said(forged['ours'])} here."]  # fmt: skip
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


def _said(states: dict[str, str]) -> str:
    return " and ".join(dict.fromkeys(states.values()))


if __name__ == "__main__":
    main()
