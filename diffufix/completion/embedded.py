"""`mini`: it fills holes and holds no conversation. Its completions are ordered, the likeliest
first.

A function's signature is taken as a stub, and its body is searched for as `diffufix generate` does,
without tests. A hole between two texts is searched over several first lengths.
"""

from __future__ import annotations

import ast
import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diffufix.completion.types import Ask, Completed, SamplingPlan, Watch
from diffufix.errors import UsageError

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

CANNOT_CHAT = "mini fills holes in code; it was never taught to answer."
WHICH_CAN = (
    "Instruct checkpoints can: --model apple/DiffuCoder-7B-cpGRPO (a GPU with 24 GB, research use "
    "only), Dream-org/Dream-Coder-v0-Instruct-7B, dllm-hub/Qwen2.5-Coder-0.5B-Instruct-diffusion-"
    "mdlm-v0.1 (1 GB, runs on a CPU)."
)
LENGTHS = ((4, 0.0), (8, 0.5), (16, 1.5), (32, 3.0))  # of a hole in masks, and nats behind
AROUND = 400  # tokens of both sides of a hole that it sees


class EmbeddedCompleter:
    chats, ordered = False, True

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.name, self.weights = model.name, model.fingerprint

    def complete(
        self, ask: Ask, n: int, plan: SamplingPlan, watch: Watch | None = None
    ) -> list[Completed]:
        if ask.turns:
            raise UsageError(CANNOT_CHAT, WHICH_CAN)
        until = time.monotonic() + plan.seconds
        texts = self._hole(ask) if ask.infills else self._body(ask.left)
        timed = itertools.takewhile(lambda _: time.monotonic() < until, texts)
        known: dict[str, Completed] = {}
        for each in timed:
            if each is not None:
                known.setdefault(each.text, each)
            if len(known) == n:
                break
        return list(known.values())

    def spent(self) -> dict[str, Any]:
        return {}

    def excess(self, ask: Ask, plan: SamplingPlan) -> int:
        return 0  # it sees a window

    def _body(self, left: str) -> Iterator[Completed | None]:
        """Bodies of the last function of a text; None where one does not fit."""
        from diffufix.generate.appended import bodies
        from diffufix.generate.body import Body
        from diffufix.generate.stubs import empty, functions_of
        from diffufix.propose.proposals import FailureContext
        from diffufix.types import SuspiciousFunction

        source = left.rstrip() + "\n    pass\n"
        try:
            functions = functions_of("solution.py", source)
        except (SyntaxError, ValueError, RecursionError):
            functions = []
        if not functions:
            raise UsageError(
                "mini completes functions: this prompt does not end in a function's signature.",
                WHICH_CAN,
            )
        text, found = empty(source, [functions[-1]])
        emptied = found[0]
        first = text.count("\n", 0, emptied.hole[0]) + 1
        suspect = SuspiciousFunction(
            "solution.py", emptied.function.outer_name, emptied.function.outer.lineno, first, 1.0,
            {first: 1.0},
        )  # fmt: skip
        body = Body(suspect, text, emptied)
        story = FailureContext("")
        proposals = bodies(self.model, body, story, 0, lambda *_: None, lambda: False)
        for proposal in proposals:
            if body.change(body.hole, proposal.text) is None:
                yield None
                continue
            whole = text[: body.hole.start] + proposal.text + text[body.hole.end :]
            fill = proposal.fill
            yield Completed(
                whole[_common(whole, left) :], len(fill.ids) if fill else 0,
                fill.steps if fill else 0,
            )  # fmt: skip

    def _hole(self, ask: Ask) -> Iterator[Completed | None]:
        from diffufix.decode.aside import AsideContext, HoleSpan
        from diffufix.decode.best_first import BestFirst, Question

        model = self.model
        lead = " " if ask.left.endswith(" ") else ""
        before = model.tokenizer.encode(ask.left.removesuffix(lead))[-AROUND:]
        after = model.tokenizer.encode(ask.right)[:AROUND]
        gap, mask = model.family.gap, model.family.mask
        assert gap is not None
        context = AsideContext(model, [*before, gap, *after])
        place = HoleSpan(len(before) + 1, len(before) + 2, ())
        questions = [Question(context, place, cost, (mask,) * length) for length, cost in LENGTHS]
        for _, fill in BestFirst(questions):
            text = model.tokenizer.decode(fill.ids).removeprefix(lead)
            try:
                ast.parse(ask.left + text + ask.right)
            except (SyntaxError, ValueError, RecursionError):
                yield None
                continue
            yield Completed(text, len(fill.ids), fill.steps)


def _common(whole: str, left: str) -> int:
    """How long the beginning is that both have, trailing blanks of `left` apart."""
    stripped = left.rstrip()
    return len(stripped) if whole.startswith(stripped) else 0
