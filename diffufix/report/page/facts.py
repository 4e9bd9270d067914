"""What the page of a run says: `facts_of` reads it from the log and puts it into words.

Nothing is said here that the log does not hold; what an older version did not log is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from diffufix.report.page.chart import SearchChart, chart_of
from diffufix.report.page.code import CodeLine, DiffLine, diff_lines, source_lines
from diffufix.report.page.denoising import Denoising, denoising_of
from diffufix.store import Store
from diffufix.store.query import FailureRow, PageRows, RunRow, get_run, page_of
from diffufix.trusted import visible

MOST_TESTS = 200  # of one list
OPEN = 3  # suspects whose source is shown at once

TITLES = {
    "repaired": "Repaired",
    "plausible": "A patch passes the tests, and little speaks for it",
    "not-repaired": "Not repaired",
    "nothing-failing": "Nothing to repair",
    "interrupted": "Interrupted",
    "generated": "Written",
    "not-generated": "Not written",
    "error": "diffufix could not do its work",
    "running": "Still running",
    "killed": "Ended before its time",
}
#: Keys of the claims about tests -> what is said of them.
CLAIMS = {
    "still_failing": "still failing with the patch",
    "flaky": "not the same in every run, so nothing is said of them",
    "differs_in_sandbox": "different in the sandbox without the patch, too",
    "not_run": "not run to the end: hanging, or ending the whole run",
    "not_collected": "not collected without the patch",
    "no_longer_skipped": "skipped or expected to fail before, passing with the patch",
}


@dataclass(frozen=True)
class SuspectSource:
    name: str
    path: str
    line: int
    score: float
    evidence: str
    lines: list[CodeLine]
    open: bool


@dataclass(frozen=True)
class ShownPatch:
    """One patch that passed, as it can be applied."""

    number: int
    group: int
    probability: float
    confirmed: bool
    refused: str
    apart: str
    words: list[str]
    lines: list[DiffLine]


@dataclass(frozen=True)
class PageFacts:
    run: RunRow
    title: str
    good: bool
    lead: list[str]
    when: str
    failures: list[FailureRow]
    green: list[str]
    others: list[tuple[str, list[str]]]  # (what is said, test ids)
    kept: int
    confirmed_in: list[str]
    patch: list[DiffLine]
    probability: float | None
    threshold: float
    evidence: list[tuple[str, list[str]]]  # of which file of the patch; "" for all; in words
    denoised: list[Denoising]
    known: int  # edits of the patch that no model sampled
    choices: list[ShownPatch]
    groups: int
    suspects: list[SuspectSource]
    chart: SearchChart | None
    phases: list[tuple[str, float]]
    hint: str
    warnings: list[str] = field(default_factory=list)


def facts_of(store: Store, number: int) -> PageFacts:
    """Raises UsageError where there is no such run, StoreError."""
    run, rows = get_run(store, number), page_of(store, number)
    said = run.summary
    claims: Mapping[str, Any] = said.get("claims") or {}
    offers = said.get("patches") or []
    green = list(claims.get("turned_green") or said.get("turned_green") or [])
    denoised, known = _denoised(offers[:1], rows)
    return PageFacts(
        run=run,
        title=_title(run.status, bool(green), said),
        good=run.status in ("repaired", "generated", "nothing-failing"),
        lead=_lead(run, len(rows.failures), len(green), claims),
        when=datetime.fromtimestamp(run.started_at).strftime("%Y-%m-%d %H:%M"),
        failures=rows.failures[:MOST_TESTS],
        green=green,
        others=[(CLAIMS[key], list(claims[key])) for key in CLAIMS if claims.get(key)],
        kept=int(claims.get("passing_as_before") or 0),
        confirmed_in=list(claims.get("runs") or []),
        patch=list(diff_lines((said.get("patch") or {}).get("diff") or "")),
        probability=said.get("probability"),
        threshold=float(said.get("threshold") or 0.0),
        evidence=_by_file(said.get("evidence") or [], (said.get("patch") or {}).get("files") or []),
        denoised=denoised,
        known=known,
        choices=[_choice(offer) for offer in offers],
        groups=len({offer["group"] for offer in offers}),
        suspects=_suspects(rows),
        chart=chart_of(rows.tried, rows.places, run.started_at),
        phases=[(name, float(s)) for name, s in (said.get("phases") or {}).items() if s >= 0.05],
        hint=visible(str(said.get("hint") or "")),
        warnings=[visible(words) for words in said.get("warnings") or []],
    )


def _title(status: str, some_green: bool, said: Mapping[str, Any]) -> str:
    if status == "not-repaired" and some_green:
        chance, threshold = said.get("probability"), float(said.get("threshold") or 0.0)
        weak = chance is not None and chance < threshold
        return "Not repaired: a part passes" if weak else "Repaired in part"
    return TITLES.get(status, status)


def _by_file(words: Iterable[str], files: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Evidence by the file that it begins with."""
    found: dict[str, list[str]] = {}
    for said in words:
        path = next((name for name in files if said.startswith(f"{name}: ")), "")
        found.setdefault(path, []).append(visible(said[len(path) + 2 :] if path else said))
    return list(found.items())


def _lead(run: RunRow, failing: int, green: int, claims: Mapping[str, Any]) -> list[str]:
    """The outcome in one or two sentences."""
    said = []
    if green:
        of = f"{green:,} of {failing:,}" if failing >= green else f"{green:,}"
        noun = "test" if (failing or green) == 1 else "tests"
        said.append(f"{of} failing {noun} {'passes' if green == 1 else 'pass'} with the patch.")
        if others := int(claims.get("passing_as_before") or 0):
            what = "1 other test passes" if others == 1 else f"{others:,} other tests pass"
            said.append(f"{what} as before.")
    elif failing:
        what = "1 test" if failing == 1 else f"{failing:,} tests"
        said.append(f"{what} failed before anything was changed.")
    if message := run.summary.get("message"):
        said.append(visible(str(message)))
    return said


def _suspects(rows: PageRows) -> list[SuspectSource]:
    return [
        SuspectSource(
            place.qualname, place.path, place.first_line, place.score, visible(place.evidence),
            source_lines(place.source, place.first_line, place.lines) if place.source else [],
            rank < OPEN and place.last_line - place.first_line < 80,
        )
        for rank, place in enumerate(rows.places)
    ]  # fmt: skip


def _choice(offer: Mapping[str, Any]) -> ShownPatch:
    return ShownPatch(
        offer["number"], offer["group"], float(offer["probability"]), bool(offer["confirmed"]),
        visible(str(offer["refused"] or "")), visible(str(offer["apart"] or "")),
        [visible(words) for words in (offer.get("evidence") or {}).get("words") or []],
        list(diff_lines(offer["diff"])),
    )  # fmt: skip


def _denoised(offers: Iterable[Mapping[str, Any]], rows: PageRows) -> tuple[list[Denoising], int]:
    """How each edit of the patch was written; and how many no model wrote."""
    made = {
        (row.path, row.start, row.end, row.text): row
        for row in rows.tried
        if row.state == "pass" and row.path is not None
    }
    found, known = [], 0
    for offer in offers:
        for edit in offer["edits"]:
            for start, end, text in edit["spans"]:
                row = made.get((edit["path"], start, end, text))
                where, before = _place(rows, edit["path"], start, end)
                steps = denoising_of(row, where, before) if row else None
                if steps is None:
                    known += 1
                else:
                    found.append(steps)
    return found, known


def _place(rows: PageRows, path: str, start: int, end: int) -> tuple[str, str]:
    for place in rows.places:
        inside = start - place.start
        if place.path == path and place.source and 0 <= inside <= len(place.source):
            line = place.first_line + place.source.count("\n", 0, inside)
            return f"{path}:{line} {place.qualname}", place.source[inside : end - place.start]
    return path, ""
