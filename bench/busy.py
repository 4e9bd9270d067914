"""What the search loses beside programs that want the same cores, with and without our care.

    python bench/busy.py [--seconds 8] [--rounds 2] [--busy 0,1,2] [--out busy]

`mini` searches functions of the standard library as `repair --function` does but without tests,
in processes of their own, in turns, while so many endless loops run on the same machine: as it is
(threads that wait soon sleep, and cores that the model does not get are given up), and with all
cores and OpenMP's own waiting (GNU's spins 300,000 times).
Reports candidates a second, the mean over the rounds. Writes bench/results/NAME.json and .md; the
last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Variables of the environment, and the share of the cores that is enough to keep them all.
WAYS: dict[str, tuple[dict[str, str], float]] = {
    "as it is": ({}, 0.6),
    "all cores, OpenMP's waiting": ({"GOMP_SPINCOUNT": "300000"}, 0.0),
}
SEARCH = """
import ast, sys, time
from pathlib import Path
from diffufix.types import SuspiciousFunction
from diffufix.model.checkpoint import load_model
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext
from diffufix.propose.propose import propose
from diffufix.decode import threads

threads.ENOUGH = float(sys.argv[3])
model = load_model("mini", device="cpu", dtype="float32")
source = Path(sys.argv[1]).read_text()
limit = float(sys.argv[2])
count, began = 0, time.monotonic()
for node in ast.parse(source).body:
    if isinstance(node, ast.FunctionDef):
        text = ast.get_source_segment(source, node) + "\\n"
        last = text.count("\\n")
        subject = EditTarget(SuspiciousFunction("f.py", node.name, 1, last, 1.0, {}), text)
        for number, _ in enumerate(propose(model, [subject], FailureContext(""))):
            count += 1
            if number == 200 or time.monotonic() - began > limit:
                break
    if time.monotonic() - began > limit:
        break
print(count / (time.monotonic() - began))
"""


@contextlib.contextmanager
def loops(count: int) -> Iterator[None]:
    """So many processes that want a core each."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def rate(way: str, seconds: float) -> float:
    plain = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    variables, enough = WAYS[way]
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, textwrap.__file__, str(seconds), str(enough)],
        env=plain | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each search")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--busy", default="0,1,2", help="numbers of busy processes")
    parser.add_argument("--out", default="busy")
    args = parser.parse_args()
    rates: dict[str, dict[str, list[float]]] = {}
    for busy in args.busy.split(","):
        row = rates.setdefault(busy, {way: [] for way in WAYS})
        with loops(int(busy)):
            for _ in range(args.rounds):
                for way in WAYS:
                    row[way].append(round(rate(way, args.seconds), 1))
                    print(f"{busy} busy, {way}: {row[way][-1]}", file=sys.stderr)
    document = {
        "command": f"python bench/busy.py --seconds {args.seconds:g} --rounds {args.rounds} "
        f"--busy {args.busy}",
        "cores": os.cpu_count(),
        "candidates a second": rates,
    }
    results = ROOT / "bench" / "results"
    (results / f"{args.out}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = ["# Beside busy processes", "", f"`{document['command']}`, {os.cpu_count()} cores", "",
             "| busy processes | " + " | ".join(WAYS) + " | times |",
             "|---|" + "---|" * (len(WAYS) + 1)]  # fmt: skip
    for busy, row in rates.items():
        ours, theirs = (statistics.fmean(row[way]) for way in WAYS)
        lines.append(f"| {busy} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.1f} |")
    lines += ["", "Candidates a second, without running them."]
    (results / f"{args.out}.md").write_text("\n".join(lines) + "\n")
    print(json.dumps(document))


if __name__ == "__main__":
    main()
