"""A problem's samples from an engine, and their verdicts. The model runs in this thread, programs
in sandboxes beside it: while one problem is judged the next is sampled."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from diffufix.completion.arness import global_arness, local_arness
from diffufix.completion.types import Completed, Completer, SamplingPlan
from diffufix.errors import UsageError
from diffufix.evaluation.prompts import BASE, INSTRUCT, ask_of, broken_of, program_of, solution_of
from diffufix.evaluation.types import CodingProblem, Row
from diffufix.evaluation.verdicts import Judgement, ProgramJudge


@dataclass(frozen=True)
class CompletionPlan:
    """`style` is "base", "instruct", or "auto": by what the checkpoint is."""

    samples: int = 1
    style: str = "auto"
    sampling: SamplingPlan = field(default_factory=SamplingPlan)

    def style_for(self, completer: Completer) -> str:
        """Raises UsageError where an engine is to answer that cannot."""
        if self.style not in ("auto", BASE, INSTRUCT):
            raise UsageError(f"There is no style {self.style!r}.", "It is auto, base or instruct.")
        if self.style == INSTRUCT and not completer.chats:
            raise UsageError(
                f"{completer.name} is no instruct checkpoint.",
                "Use --style base, or another --model.",
            )
        return (INSTRUCT if completer.chats else BASE) if self.style == "auto" else self.style


class Completing:
    """Starts problems; each gives its row later."""

    def __init__(self, completer: Completer, judge: ProgramJudge, plan: CompletionPlan) -> None:
        self._completer, self._judge, self._plan = completer, judge, plan
        self._style = plan.style_for(completer)

    def start(self, problem: CodingProblem) -> Future[Row]:
        plan, began = self._plan, time.monotonic()
        sampling = replace(plan.sampling, seed=_seed(plan.sampling.seed, problem.id))
        note = ""
        try:
            asked = ask_of(problem, self._style)
            found = list(self._completer.complete(asked, plan.samples, sampling))
        except UsageError as error:  # one problem that this engine cannot be asked
            found, note = [], error.message
        seconds = time.monotonic() - began
        programs = [program_of(problem, each.text, self._style) for each in found]
        judging = self._judge.judge(programs, problem.checks, problem.entry_point)
        return _then(judging, lambda verdicts: {
            "id": problem.id,
            "levels": list(problem.checks),
            "samples": [_sample(*each) for each in zip(found, verdicts, strict=True)],
            "seconds": round(seconds, 2),
            **({"message": note} if note else {}),
        })  # fmt: skip


class Checking:
    """No model: the publisher's solution has to pass, one that does nothing has to fail."""

    def __init__(self, judge: ProgramJudge) -> None:
        self._judge = judge

    def start(self, problem: CodingProblem) -> Future[Row]:
        programs = [solution_of(problem), broken_of(problem)]
        judging = self._judge.judge(programs, problem.checks, problem.entry_point)
        return _then(judging, lambda verdicts: {
            "id": problem.id,
            "levels": list(problem.checks),
            "samples": [_verdict(verdicts[0])],
            "broken": _verdict(verdicts[1]),
            "seconds": 0.0,
        })  # fmt: skip


def _seed(seed: int, id: str) -> int:
    """Of one problem: the same whichever others are run, and in whatever order."""
    import zlib

    return (seed * 1_000_003 + zlib.crc32(id.encode())) % 2**31


def _verdict(judged: dict[str, Judgement]) -> Row:
    detail = next((each.detail for each in judged.values() if each.detail), "")
    states = {level: each.state for level, each in judged.items()}
    return {"states": states, **({"detail": detail} if detail else {})}


def _sample(made: Completed, judged: dict[str, Judgement]) -> Row:
    row: Row = {"text": made.text, "tokens": made.tokens, "forwards": made.forwards,
                "ended": made.ended, **_verdict(judged)}  # fmt: skip
    if made.order:
        local, whole = local_arness(made.order), global_arness(made.order)
        row |= {"order": list(made.order)}
        row |= {
            "local_arness": local and round(local, 4),
            "global_arness": whole and round(whole, 4),
        }
    return row


def _then(future: Future[Any], change: Callable[[Any], Row]) -> Future[Row]:
    """What comes of a future, changed."""
    later: Future[Row] = Future()

    def done(ended: Future[Any]) -> None:
        error = ended.exception()
        if error is not None:
            later.set_exception(error)
        else:
            later.set_result(change(ended.result()))

    future.add_done_callback(done)
    return later
