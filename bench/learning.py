"""Does a model learn a codebase? Self-play on packages, held-out mutants before and after.

    python bench/learning.py FOLDER... [--methods coupled,full,...] [--minutes 5] [--out FOLDER]

FOLDER is a source tree of a package with its tests (an unpacked sdist). Of each, functions under
test are split; every method starts from the same model and gets the same CPU minutes (of all
processes, tests included) on tasks of one part; then mutants of the functions of the other part are
asked again, `--samples` times each, with the same seeds as before. `elsewhere` is the same on the
held-out mutants of the other packages: what was lost. The last line of stdout is a JSON object.

Writes learning.json and learning.md under --out; a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import diffufix  # noqa: E402, F401  # isort: skip  # it decides how the threads of torch wait

import torch  # noqa: E402

from diffufix.config import Settings, load_settings  # noqa: E402
from diffufix.model import load_model  # noqa: E402
from diffufix.train.rl.config import TrainConfig  # noqa: E402
from diffufix.train.rl.gate import GateResult, compare  # noqa: E402
from diffufix.train.rl.learn import learn  # noqa: E402
from diffufix.train.rl.rollouts import Collector, evaluate  # noqa: E402
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted  # noqa: E402

METHODS = ("coupled", "d1", "full", "decoupled", "count", "rft", "repo")


@dataclass
class Package:
    """A package on its bench: the project to practise on, and what the model could before."""

    name: str
    practice: SelfPlayEnv
    collector: Collector
    before: list[tuple[int, int]] = field(default_factory=list)


def main() -> None:
    args = arguments()
    done = read(args.out / "learning.json") if args.out else {}
    with contextlib.ExitStack() as stack:
        packages = [opened(stack, folder, args) for folder in args.folders]
        for package in packages:
            package.before = ask(package, load(args), args)
            say(f"{package.name}: {len(package.practice.tasks)} tasks, {summary(package.before)}")
        for method, package in itertools.product(args.methods, packages):
            key = f"{package.name}/{method}/{args.seed}"
            if key not in done:
                others = [other for other in packages if other is not package]
                done[key] = one(package, others, method, args)
                write(done, args)
            say(line(key, done[key]))
    print(json.dumps({key: row["here"]["difference"] for key, row in done.items()}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of each method")
    parser.add_argument("--held-out", type=int, default=100, help="tasks of each package")
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--samples", type=int, default=8, help="of each held-out task")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--lr", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sandbox", default="local")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def load(args: argparse.Namespace) -> Any:
    return load_model(args.model, device="cpu", dtype="float32")


def opened(stack: contextlib.ExitStack, folder: Path, args: argparse.Namespace) -> Package:
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-learning-")))
    root = scratch / folder.resolve().name
    shutil.copytree(folder, root, ignore=shutil.ignore_patterns(".git", ".diffufix"))
    wanted = Wanted(tasks=args.tasks, held_out=args.held_out, history=False, seed=args.seed)
    practice = stack.enter_context(SelfPlayEnv(settings(root, args), load(args), wanted))
    return Package(root.name, practice, Collector(practice.screen))


def settings(root: Path, args: argparse.Namespace) -> Settings:
    given = {"sandbox": args.sandbox, "seed": args.seed, "adapter": "none"}
    return load_settings(root, (), given, environ={})


def ask(package: Package, model: Any, args: argparse.Namespace) -> list[tuple[int, int]]:
    """(passes, samples) of the held-out tasks; verdicts are remembered between models."""
    with torch.inference_mode():
        return evaluate(
            model, package.practice.held_out, args.samples, package.collector, seed=args.seed
        )


def one(
    package: Package, others: Sequence[Package], method: str, args: argparse.Namespace
) -> dict[str, Any]:
    """Learn from the same beginning, then ask here and elsewhere."""
    began = time.monotonic()
    model = load(args)
    plan = TrainConfig(
        method=method, minutes=0.0, cpu_minutes=args.minutes, lr=args.lr, seed=args.seed
    )
    with tempfile.TemporaryDirectory(prefix="bench-learning-") as out:
        result = learn(model, package.practice, plan, Path(out) / "run")
    if result.interrupted:
        raise KeyboardInterrupt
    model.eval().requires_grad_(False)
    here = gate([package], model, args)
    elsewhere = gate(others, model, args) if others else None
    return {
        "here": document(here),
        "elsewhere": document(elsewhere) if elsewhere else None,
        "steps": result.steps,
        "groups": result.groups,
        "signal": result.signal,
        "learning_seconds": round(result.seconds, 1),
        "cpu_seconds": round(result.cpu_seconds, 1),
        "seconds": round(time.monotonic() - began, 1),
        "rates": result.throughput.rates(),
        "curve": [
            {key: row.get(key) for key in ("step", "passed", "reward", "signal", "kl", "clipped")}
            for row in result.rows
        ],
    }


def gate(packages: Sequence[Package], model: Any, args: argparse.Namespace) -> GateResult:
    tasks, before, after = [], [], []
    for package in packages:
        tasks += package.practice.held_out
        before += package.before
        after += ask(package, model, args)
    return compare(tasks, before, after, k=args.samples, seed=args.seed)


def document(result: GateResult) -> dict[str, Any]:
    values = {**asdict(result), "difference": result.difference}
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}


# -- results ---------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8"))["runs"]) if path.is_file() else {}


def write(done: dict[str, Any], args: argparse.Namespace) -> None:
    if not args.out:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    names = " ".join(folder.resolve().name for folder in args.folders)
    command = f"python bench/learning.py {names} --minutes {args.minutes:g}"
    if args.held_out != 100:
        command += f" --held-out {args.held_out}"
    if args.tasks != 400:
        command += f" --tasks {args.tasks}"
    whole = {"command": command, "model": args.model, "runs": done}
    (args.out / "learning.json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    (args.out / "learning.md").write_text(table(done, command, args), "utf-8")


def table(done: dict[str, Any], command: str, args: argparse.Namespace) -> str:
    rows = [
        "# Learning a codebase by self-play",
        "",
        f"`{command}`",
        "",
        f"{args.minutes:g} CPU minutes of each method, tests included; pass@1 of mutants in "
        "functions that were held out, before and after. In brackets 95 % of the difference, "
        "functions resampled; p is one-sided, signs of functions flipped. `elsewhere`: held-out "
        "mutants of the other packages.",
        "",
        "| package | method | steps | pass@1 | difference | p | relative | pass@8 | elsewhere |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, row in sorted(done.items()):
        name, method, _ = key.split("/")
        here, there = row["here"], row["elsewhere"]
        away = (
            f"{there['difference']:+.1%} ({there['low']:+.1%}, {there['high']:+.1%})"
            if there
            else ""
        )
        rows.append(
            f"| {name} | {method} | {row['steps']} | {here['before']:.1%} to {here['after']:.1%} "
            f"| {here['difference']:+.1%} ({here['low']:+.1%}, {here['high']:+.1%}) "
            f"| {here['p']:.3g} | {relative(here):+.0%} "
            f"| {here['before_at_k']:.1%} to {here['after_at_k']:.1%} | {away} |"
        )
    return "\n".join(rows) + "\n"


def relative(here: dict[str, Any]) -> float:
    return here["difference"] / here["before"] if here["before"] else 0.0


def line(key: str, row: dict[str, Any]) -> str:
    here = row["here"]
    return (
        f"{key}: pass@1 {here['before']:.3f} -> {here['after']:.3f} ({relative(here):+.0%}, "
        f"p {here['p']:.3g}), {row['steps']} steps, {row['seconds']:.0f} s"
    )


def summary(counts: Sequence[tuple[int, int]]) -> str:
    asked = [passes / samples for passes, samples in counts if samples]
    return f"{len(asked)} held out, pass@1 {sum(asked) / max(1, len(asked)):.1%}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
