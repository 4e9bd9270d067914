"""The result of a repair as text on stdout: the diff first, then what it does.

Without a terminal the output is plain and the diff exact to the byte, so that
`diffufix repair | git apply` works.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from diffufix.config import find_root
from diffufix.errors import DiffufixError
from diffufix.repair.reasons import IN_PART
from diffufix.repair.types import RepairResult, Status
from diffufix.source.patch import diff_bytes
from diffufix.trusted import visible

MOST_IDS = 20  # test ids listed before the rest is counted
_DIFF_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


def write_result(result: RepairResult, out: TextIO) -> None:
    """Write the diff and the summary; coloured where `out` is a terminal that shows colour."""
    if result.patch is not None:
        write_diff(result.patch.diff, out)
        out.write("\n")
    for line in summary_lines(result):
        out.write(visible(line) + "\n")


def write_diff(diff: str, out: TextIO) -> None:
    """Write a unified diff; where `out` is no terminal, to the byte as the project's files are."""
    if not out.isatty():
        binary = getattr(out, "buffer", None)
        if binary is None:
            out.write(diff)
        else:
            out.flush()
            binary.write(diff_bytes(diff, find_root(Path.cwd())))
            binary.flush()
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False)
    for line in diff.removesuffix("\n").split("\n"):
        style = next((s for mark, s in _DIFF_STYLES.items() if line.startswith(mark)), "")
        console.print(Text(visible(line), style), soft_wrap=True)


def summary_lines(result: RepairResult) -> list[str]:
    """What happened, in words; one fact a line."""
    lines = [_headline(result)]
    for function in result.functions:
        lines += function.lines()
    lines += [f"  {line}" for line in _listed(result.turned_green)]
    if result.patch is not None:
        lines += _claims(result)
        lines += trust_lines(result) if result.probability is not None else []
    if result.patch is None and result.suspects and not result.functions:
        lines.append("Most suspicious:")
        lines += [
            f"  {s.path}:{s.first_line} {s.qualname} ({s.score:.2f})" for s in result.suspects[:5]
        ]
    if result.tried:
        lines.append(_search(result))
    if result.patch is not None:
        if not result.functions:
            lines += _others(result)
        if result.applied:
            lines.append("The patch is written; `diffufix undo` takes it back.")
        else:
            weak = result.probability is not None and result.probability < result.threshold
            plausible = " --accept plausible" if weak else ""
            lines.append(
                f"Your files are unchanged; `diffufix {_command(result)} --apply{plausible}` "
                "writes the patch."
            )
    if result.hint:
        lines.append(f"hint: {result.hint}")
    return lines


def error_lines(error: DiffufixError) -> list[str]:
    """A failure and its next step."""
    return [f"error: {error.message}"] + ([f"hint: {error.hint}"] if error.hint else [])


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 test", "2 tests", "1,000 patches"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _headline(result: RepairResult) -> str:
    if result.functions:
        done = sum(function.done for function in result.functions)
        return f"{done} of {counted(len(result.functions), 'function')} written and verified." + (
            f" {result.message}" if result.message else ""
        )
    if result.patch is not None and result.turned_green:
        return _repaired(result)
    if result.message:
        return result.message
    return {
        Status.REPAIRED: "Repaired.",
        Status.PLAUSIBLE: "A patch passes your tests, but little speaks for it.",
        Status.NOTHING_FAILING: f"Nothing to repair: {counted(result.tests, 'test')}, none fails.",
        Status.NOT_REPAIRED: "Not repaired: no candidate passes the failing tests.",
        Status.INTERRUPTED: "Interrupted; your files are unchanged.",
        Status.GENERATED: "Generated.",
        Status.NOT_GENERATED: "Not generated.",
    }[result.status]


def _repaired(result: RepairResult) -> str:
    green = counted(len(result.turned_green), "failing test")
    verb = "passes" if len(result.turned_green) == 1 else "pass"
    head = "Repaired in part" if result.message.startswith(IN_PART) else "A patch was found"
    if result.status is Status.REPAIRED or (
        result.status is Status.INTERRUPTED and not result.message
    ):
        head = "Repaired"
    elif result.status is Status.PLAUSIBLE:
        head = "The patch passes your tests, but little speaks for it"
    others = len(result.claims.kept) if result.claims else 0
    rest = ""
    if result.claims and others:
        as_before = "1 other passes" if others == 1 else f"{others:,} others pass"
        rest = f"; {as_before} as before"
        if result.claims.complete:
            rest = f", and nothing else broke ({as_before} as before)"
    said = f" {result.message}" if result.message else ""
    return f"{head}: {green} now {verb}{rest}.{said}"


def _claims(result: RepairResult) -> list[str]:
    """Of the tests that are not simply green: each kind with its number, and how all were run."""
    claims, lines = result.claims, []
    if claims is None:
        return []
    for title, ids in (
        ("Still failing, run again with the patch in a copy of the project", claims.still_failing),
        ("Not the same in every run, so nothing is said of them", claims.flaky),
        ("Different in the sandbox without the patch, too, so nothing is said of them",
         claims.differs),
        ("Not run to the end, as they hang, take long or end the whole run", claims.not_run),
        ("Not collected without the patch, so none of their tests was run", claims.uncollected),
        ("Skipped or failing as expected without the patch, passing with it",
         claims.no_longer_skipped),
    ):  # fmt: skip
        if ids:
            lines.append(f"{title}: {len(ids):,}")
            lines += [f"  {line}" for line in _listed(ids)]
    if result.deselected:
        lines.append(f"Not run, as the project or the arguments deselect them: "
                     f"{len(result.deselected):,}")  # fmt: skip
    if claims.skipped:
        lines.append(f"Skipped, or marked as xfail, as before: {len(claims.skipped):,}")
    if claims.runs:
        lines.append(f"Confirmed in {counted(len(claims.runs), 'run')} of {_suite(result)}: "
                     f"{_orders(claims.runs)}.")  # fmt: skip
    for order, test in claims.dropped.items():
        lines.append(f"Not in {order} order: there {test} comes out otherwise, or fails in other "
                     "words, without the patch.")  # fmt: skip
    return lines


def _suite(result: RepairResult) -> str:
    if result.selected and not result.functions:
        return f"the selected tests (pytest {shlex.join(result.selected)})"
    return "the whole suite"


def _orders(runs: tuple[str, ...]) -> str:
    """ "own order twice, reversed order once"."""
    times = Counter(run.partition(" order")[0] for run in runs)
    words = {1: "once", 2: "twice"}
    return ", ".join(f"{order} order {words.get(n, f'{n} times')}" for order, n in times.items())


def _command(result: RepairResult) -> str:
    return "generate" if result.functions else "repair"


def _search(result: RepairResult) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(result.states.items()))
    run = f", run {result.run_id}" if result.run_id is not None else ""
    model = f"Model {result.model} {result.model_hash[:8]}".rstrip() if result.model else "Model -"
    return (
        f"Tried {counted(result.tried, 'candidate')} of {counted(result.generated, 'sample')} "
        f"in {result.seconds:.1f} s" + (f" ({states})" if states else "") + f". {model}{run}."
    )


def trust_lines(result: RepairResult) -> list[str]:
    """The probability that the patch is right, and the evidence."""
    assert result.probability is not None
    lines = [f"Likely right: {result.probability:.0%}"]
    if result.probability < result.threshold:
        lines[0] += f", less than the {result.threshold:.0%} of a repair"
    return lines + [f"  {words}" for words in result.evidence]


def offer_lines(offer: Mapping[str, Any]) -> list[str]:
    """One patch among several, as the log keeps it (`Offer.document`): its number, what speaks for
    it, how it differs from the first."""
    state = "refused" if offer["refused"] else f"{offer['probability']:.0%} likely right"
    confirmed = "holds over the whole suite" if offer["confirmed"] else "screened only"
    lines = [f"patch {offer['number']}, group {offer['group']}: {state}, {confirmed}"]
    lines += [f"  refused: {offer['refused']}"] if offer["refused"] else []
    lines += [f"  {words}" for words in offer["evidence"]["words"]]
    return lines + ([f"  {offer['apart']}"] if offer["apart"] else [])


def _others(result: RepairResult) -> list[str]:
    """Other patches that pass, and where the best that behaves otherwise differs."""
    others = [offer for offer in result.offers[1:] if not offer.refused]
    number = len(others) if result.offers else len(result.alternatives)
    if not number:
        return ["No other patch was found that passes these tests."]
    where = (
        "see --json"
        if result.run_id is None
        else f"see `diffufix runs show {result.run_id} --patches`"
    )
    lines = [f"{counted(number, 'other patch', 'other patches')} passed the screening ({where})."]
    other = next((o for o in others if o.apart), None)
    if other is not None:
        lines.append(f"Patch {other.number} is not the same: {other.apart}")
        lines.append("Say what is right there with --expect, such as 'f(…) == …'.")
    return lines


def _listed(ids: tuple[str, ...]) -> list[str]:
    shown = list(ids[:MOST_IDS])
    return shown + ([f"... and {len(ids) - MOST_IDS} more"] if len(ids) > MOST_IDS else [])
