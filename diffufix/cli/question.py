"""What only the user can tell: which of two patches that pass the tests does the right thing.

Asks where there is a terminal, and nowhere else. What the first patch does not do becomes an
expectation, as of `--expect`.
"""

from __future__ import annotations

import sys

import typer

from diffufix.config import Settings
from diffufix.repair.types import Offer, RepairResult
from diffufix.trusted import visible


def told(settings: Settings, result: RepairResult) -> str:
    """An expression that must be true of the right patch, and is not of the first; "" where nothing
    was asked or said, or the first is right."""
    offer = _doubtful(result)
    quiet = settings.json or settings.yes or settings.all
    if offer is None or quiet or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    difference = offer.difference
    assert difference is not None
    call = visible(difference.call)
    typer.echo(f"Two patches pass your tests and differ at {call}:", err=True)
    typer.echo(f"  1  {visible(difference.one)}", err=True)
    typer.echo(f"  2  {visible(difference.other)}", err=True)
    typer.echo("Which is right? 1, 2, the right value, or Enter to leave it open", err=True)
    while True:
        answer = typer.prompt("", default="", show_default=False, prompt_suffix="> ", err=True)
        answer = answer.strip()
        answer = {"1": difference.one, "2": difference.other}.get(answer, f"gives {answer}")
        if answer in ("gives ", difference.one):
            return ""
        if expectation := difference.expectation(answer):
            return expectation
        typer.echo("A value as Python writes it, such as 'text', 3 or None.", err=True)


def _doubtful(result: RepairResult) -> Offer | None:
    """The best patch that does otherwise than the first and can be spoken of in one expression."""
    for offer in result.offers[1:]:
        difference = offer.difference
        if difference is None or offer.refused:
            continue
        if difference.expectation(difference.one) and difference.expectation(difference.other):
            return offer
    return None
