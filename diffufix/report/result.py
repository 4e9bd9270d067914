"""What a result says in words: what holds now, why the patch is believed right, what to do next.

Pure. Each line is a pair of its text and its style. What only a developer of diffufix wants to know
(counts of candidates, hashes, likelihoods) is said with `verbose` alone.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from diffufix.repair.reasons import IN_PART
from diffufix.repair.types import Offer, RepairResult, Status
from diffufix.report.words import MOST, counted, listed, seconds

Line = tuple[str, str]
_HEADS = {
    Status.REPAIRED: "bold green", Status.GENERATED: "bold green",
    Status.NOTHING_FAILING: "bold green", Status.PLAUSIBLE: "bold yellow",
    Status.INTERRUPTED: "bold yellow", Status.NOT_REPAIRED: "bold red",
    Status.NOT_GENERATED: "bold red",
}  # fmt: skip
_WORDS = 6  # arguments of pytest that are shown
_TITLE, _ASIDE, _COMMAND = "bold", "dim", "cyan"


def summary(result: RepairResult, verbose: bool = False) -> list[Line]:
    """All that is said below the diff."""
    most = 0 if verbose else MOST
    part = result.patch is not None and result.status is Status.NOT_REPAIRED
    lines: list[Line] = [(headline(result), "bold yellow" if part else _HEADS[result.status])]
    for function in result.functions:
        lines += [(line, "") for line in function.lines()]
    lines += [(f"  {line}", "") for line in listed(result.turned_green, most)]
    if result.patch is not None:
        lines += _before_and_after(result)
        lines += [(line, "") for line in _claims(result, most)]
        if result.probability is not None:
            head, *facts = trust_lines(result)
            lines += [("", ""), (head, _TITLE), *((line, "") for line in facts)]
    elif result.suspects and not result.functions:
        lines += _suspects(result, verbose)
    if verbose and result.tried:
        lines.append((_search(result), _ASIDE))
    lines += [(took(name, told), _ASIDE) for name, told in result.engines.items()]
    lines += _next(result)
    if result.hint:
        lines.append((f"hint: {result.hint}", "yellow"))
    return lines


def headline(result: RepairResult) -> str:
    """What happened, in one line."""
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
    head = "A patch was found"
    if result.message.startswith(IN_PART):
        weak = "A part passes, but little speaks for the patch"
        head = weak if result.weak else "Repaired in part"
    if result.status is Status.REPAIRED:
        head = "Repaired"
    elif result.status is Status.INTERRUPTED and not result.message:
        head = "Interrupted, with a patch that holds"
    elif result.status is Status.PLAUSIBLE and not result.message:
        head = "The patch passes your tests, but little speaks for it"
    others = len(result.claims.kept) if result.claims else 0
    rest = ""
    if result.claims and others:
        as_before = "1 other passes" if others == 1 else f"{others:,} others pass"
        rest = f"; {as_before} as before"
        if result.claims.complete and not result.selected:
            rest = f", and nothing else broke ({as_before} as before)"
    said = f" {result.message}" if result.message else ""
    return f"{head}: {green} now {verb}{rest}.{said}"


def _before_and_after(result: RepairResult) -> list[Line]:
    """Counts of the tests of which something can be said, without the patch and with it."""
    claims = result.claims
    if claims is None or not (claims.turned_green or claims.still_failing):
        return []
    green, red, kept = (
        len(ids) for ids in (claims.turned_green, claims.still_failing, claims.kept)
    )
    unskipped = len(claims.no_longer_skipped)
    skipped = len(claims.skipped)
    rows = [
        ("passing", kept, kept + green + unskipped),
        ("failing", green + red, red),
        ("skipped, xfail", skipped + unskipped, skipped),
    ]
    lines: list[Line] = [("", ""), ("Tests            before   after", _TITLE)]
    lines += [
        (f"  {name:14} {before:6,}  {after:6,}", "") for name, before, after in rows
        if before or after
    ]  # fmt: skip
    if not claims.complete:
        lines.append(("  without those of which nothing is said, below", _ASIDE))
    return lines


def _claims(result: RepairResult, most: int) -> list[str]:
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
            lines += [f"  {line}" for line in listed(ids, most)]
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
    for order, test in claims.leaning.items():
        lines.append(f"In {order} order only file by file: {test} fails without the tests before "
                     "it, with which it shares a fixture.")  # fmt: skip
    return lines


def _suite(result: RepairResult) -> str:
    if result.selected and not result.functions:
        words, more = result.selected[:_WORDS], len(result.selected) - _WORDS
        left = f" and {more} more" if more > 0 else ""
        return f"the selected tests (pytest {shlex.join(words)}{left})"
    return "the whole suite"


def _orders(runs: tuple[str, ...]) -> str:
    """ "own order twice, reversed order once"."""
    times = Counter(run.partition(" order")[0] for run in runs)
    words = {1: "once", 2: "twice"}
    return ", ".join(f"{order} order {words.get(n, f'{n} times')}" for order, n in times.items())


def _suspects(result: RepairResult, verbose: bool) -> list[Line]:
    shown = result.suspects[:5]
    return [
        ("Most suspicious:", _TITLE),
        *((f"  {s.path}:{s.first_line} {s.qualname}"
           + (f" ({s.score:.2f})" if verbose else ""), "") for s in shown),
    ]  # fmt: skip


def _search(result: RepairResult) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(result.states.items()))
    run = f", run {result.run_id}" if result.run_id is not None else ""
    model = f"Model {result.model} {result.model_hash[:8]}".rstrip() if result.model else "Model -"
    return (
        f"Tried {counted(result.tried, 'candidate')} of {counted(result.generated, 'sample')} "
        f"in {result.seconds:.1f} s" + (f" ({states})" if states else "") + f". {model}{run}."
    )


def took(name: str, told: Mapping[str, Any]) -> str:
    """What an engine was asked and what that cost, at its list price."""
    tokens = told["prompt_tokens"] + told["completion_tokens"]
    cost = f", about ${told['dollars']:.3f}" if "dollars" in told else ""
    return f"{name}: {counted(told['requests'], 'request')}, {tokens:,} tokens{cost}."


def trust_lines(result: RepairResult) -> list[str]:
    """The probability that the patch is right, and the evidence."""
    assert result.probability is not None
    lines = [f"Likely right: {result.probability:.0%}"]
    if result.weak:
        lines[0] += f", less than the {result.threshold:.0%} of a repair"
    return lines + [f"  {words}" for words in result.evidence]


def offer_lines(offer: Mapping[str, Any]) -> list[str]:
    """One patch among several, as the log keeps it (`Offer.document`): its number, what speaks for
    it, how it differs from the first."""
    state = f"{offer['probability']:.0%} likely right" if offer["probability"] else "not weighed"
    state = "refused" if offer["refused"] else state
    confirmed = "confirmed" if offer["confirmed"] else "not confirmed"
    lines = [f"patch {offer['number']}, group {offer['group']}: {state}, {confirmed}"]
    lines += [f"  refused: {offer['refused']}"] if offer["refused"] else []
    lines += [f"  {words}" for words in offer["evidence"]["words"]]
    return lines + ([f"  {offer['apart']}"] if offer["apart"] else [])


def _next(result: RepairResult) -> list[Line]:
    """Where the files stand, and the commands that go on from here."""
    if result.patch is None:
        return []
    others = [offer for offer in result.offers[1:] if not offer.refused]
    lines: list[Line] = [("", "")]
    if result.commit:
        lines.append((f"Committed as {result.commit}.", ""))
    if result.applied:
        lines.append(("The patch is written; `diffufix undo` takes it back.", ""))
    elif not result.commit:
        command = "generate" if result.functions else "repair"
        write = f"{command} --apply{' --accept plausible' if result.weak else ''}"
        if result.run_id is not None:
            write = f"apply {result.run_id}"
        lines.append((f"Your files are unchanged; `diffufix {write}` writes the patch.", ""))
    if not result.functions:
        lines += _others(result, others)
    if result.run_id is not None:
        took = f"This is run {result.run_id}; it took {seconds(result.seconds)}."
        lines.append((took, _ASIDE))
    return lines


def _others(result: RepairResult, others: list[Offer]) -> list[Line]:
    """Other patches that pass, and where the best that behaves otherwise differs."""
    number = len(others) if result.offers else len(result.alternatives)
    if not number:
        return [("No other patch was found that passes these tests.", _ASIDE)]
    run = result.run_id
    where = "see --json" if run is None else f"see `diffufix runs show {run} --patches`"
    passed = f"{counted(number, 'other patch', 'other patches')} passed the screening ({where})."
    lines: list[Line] = [(passed, "")]
    other = next((o for o in others if o.apart), None)
    if other is not None:
        lines.append((f"Patch {other.number} is not the same: {other.apart}", ""))
        if run is not None:
            lines.append((f"`diffufix apply {run} {other.number}` writes that one instead.", ""))
        lines.append(("Say what is right there with --expect, such as 'f(…) == …'.", ""))
    return lines
