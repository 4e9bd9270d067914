"""Families that denoise in place: `diffusion_generate` completes, `infill` fills holes. Those that
write block after block complete alone, by `block_generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from diffufix.completion.chatml import conversation
from diffufix.completion.types import Ask, Completed, SamplingPlan, Watch
from diffufix.errors import UsageError

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

MASK = "\u2592"  # how a mask is shown


class DiffusionCompleter:
    ordered = False

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.name, self.weights = model.name, model.fingerprint
        self.chats = model.family.chat != "none"

    def complete(
        self, ask: Ask, n: int, plan: SamplingPlan, watch: Watch | None = None
    ) -> list[Completed]:
        import torch

        generator = torch.Generator(self.model.device).manual_seed(plan.seed)
        left = self._left(ask)
        found: list[Completed] = []
        while len(found) < n:
            count = min(plan.batch, n - len(found))
            draw = self._fill if ask.infills else self._go_on
            if self.model.family.block:
                draw = self._write
            found += draw(left, ask.right, count, plan, generator, watch)
            if plan.temperature == 0:  # the others would be the same
                found = found[:1] * n
        return found

    def spent(self) -> dict[str, Any]:
        return {}

    def excess(self, ask: Ask, plan: SamplingPlan) -> int:
        encode, special = self.model.tokenizer.encode, self.chats
        said = len(encode(self._left(ask), special=special))
        said += len(encode(ask.right, special=special))
        return said + plan.max_tokens - self.model.max_context

    def _left(self, ask: Ask) -> str:
        if not ask.turns:
            return ask.left
        if not self.chats:
            raise UsageError(
                f"{self.name} was not trained to answer.",
                "Use an instruct checkpoint, such as apple/DiffuCoder-7B-cpGRPO.",
            )
        return conversation(ask.turns, ask.begun, self.model.family.chat)

    def _go_on(
        self, left: str, right: str, n: int, plan: SamplingPlan, generator: Any, watch: Watch | None
    ) -> list[Completed]:
        import torch

        from diffufix.decode.canvas import inline_canvas
        from diffufix.decode.diffusion import diffusion_generate

        model = self.model
        canvas = inline_canvas(model, left, "", max_tokens=plan.max_tokens)
        prompt = list(canvas.left)
        ends, single = self._ends(), plan.tokens_per_step == 1
        shown = self._shown(watch, canvas.lead)
        steps = _Steps(len(prompt), model.family.mask, ends, n, shown)
        made = diffusion_generate(
            model, torch.tensor([prompt]), max_new_tokens=plan.max_tokens,
            steps=max(1, plan.max_tokens // plan.tokens_per_step), temperature=plan.temperature,
            top_p=plan.top_p, alg=plan.alg, alg_temp=0.0, num_return_sequences=n,
            generator=generator, on_step=steps,
        )  # fmt: skip
        found = []
        for row, order in zip(made.sequences[:, len(prompt) :].tolist(), steps.orders, strict=True):
            length = next((i for i, token in enumerate(row) if token in ends), len(row))
            text = model.tokenizer.decode(row[:length]).removeprefix(canvas.lead)
            own = tuple(position for position in order if position < length)
            found.append(
                Completed(text, length, steps.forwards, own if single else None,
                          length < len(row))
            )  # fmt: skip
        return found

    def _write(
        self, left: str, right: str, n: int, plan: SamplingPlan, generator: Any, watch: Watch | None
    ) -> list[Completed]:
        from diffufix.decode.block_causal import block_generate
        from diffufix.decode.canvas import fill_text, inline_canvas
        from diffufix.model.families import block_rules_of, sampling_of

        model = self.model
        if right:
            raise UsageError(
                f"{self.name} sees nothing to the right of what it writes: it fills no holes.",
                "It goes on with a text, and it answers.",
            )
        canvas = inline_canvas(model, left, "", max_tokens=plan.max_tokens)
        show, single = self._shown(watch, canvas.lead), plan.tokens_per_step == 1
        threshold = block_rules_of(model.family.name).threshold if single else None

        def hook(step: int, rows: list[list[int]]) -> None:
            if show is not None:
                show(step, rows[0])

        fills = block_generate(
            model, canvas.left, n, max_new_tokens=plan.max_tokens, ends=self._ends(),
            temperature=plan.temperature, top_p=plan.top_p,
            alg=sampling_of(model.family.name).alg, tokens_per_step=plan.tokens_per_step,
            threshold=threshold, generator=generator, hook=hook,
        )  # fmt: skip
        return [
            Completed(
                fill_text(model, canvas, fill), len(fill.ids), fill.steps,
                _positions(fill.order) if single and threshold is None else None,
                len(fill.ids) < plan.max_tokens,
            )
            for fill in fills
        ]  # fmt: skip

    def _fill(
        self, left: str, right: str, n: int, plan: SamplingPlan, generator: Any, watch: Watch | None
    ) -> list[Completed]:
        from diffufix.decode.canvas import fill_text, inline_canvas
        from diffufix.decode.infill import infill

        model = self.model
        canvas = inline_canvas(model, left, right, max_tokens=plan.max_tokens)
        show = self._shown(watch, canvas.lead)

        def hook(step: int, rows: list[list[int]]) -> None:
            if show is not None:
                show(step, rows[0])

        fills = infill(
            model, canvas, n, max_tokens=plan.max_tokens, temperature=plan.temperature,
            top_p=plan.top_p, alg=plan.alg, tokens_per_step=plan.tokens_per_step,
            generator=generator, hook=hook,
        )  # fmt: skip
        return [
            Completed(
                fill_text(model, canvas, fill), len(fill.ids), fill.steps,
                _positions(fill.order) if plan.tokens_per_step == 1 else None,
            )
            for fill in fills
        ]  # fmt: skip

    def _ends(self) -> frozenset[int]:
        """Ids behind which an answer is over: whatever is no text."""
        return self.model.family.specials | frozenset(self.model.tokenizer.added.values())

    def _shown(self, watch: Watch | None, lead: str) -> Callable[[int, Sequence[int]], None] | None:
        if watch is None:
            return None
        mask, ends, decode = self.model.family.mask, self._ends(), self.model.tokenizer.decode

        def show(step: int, ids: Sequence[int]) -> None:
            text, run = "", list[int]()
            for token in ids:
                if token in ends and token != mask:
                    break
                if token != mask:
                    run.append(token)
                    continue
                text, run = text + decode(run) + MASK, []
            watch(step, (text + decode(run)).removeprefix(lead))

        return show


class _Steps:
    """Follows a generation: in which order positions behind the prompt were committed.

    The reference's schedule rounds, so that now and then a step commits two: left before right.
    """

    def __init__(
        self,
        prompt: int,
        mask: int,
        ends: frozenset[int],
        n: int,
        show: Callable[[int, Sequence[int]], None] | None,
    ) -> None:
        self._prompt, self._mask, self._show = prompt, mask, show
        self._ends = ends - {mask}
        self.orders: list[list[int]] = [[] for _ in range(n)]
        self._seen: list[set[int]] = [set() for _ in range(n)]
        self.forwards = 0

    def __call__(self, step: int, canvas: Any) -> bool:
        """Whether every completion is over: no mask stands before its end."""
        self.forwards += 1
        rows = canvas[:, self._prompt :].tolist()
        for row, order, seen in zip(rows, self.orders, self._seen, strict=True):
            new = [i for i, token in enumerate(row) if token != self._mask and i not in seen]
            order += new
            seen.update(new)
        if self._show is not None:
            self._show(step, rows[0])
        return all(self._over(row) for row in rows)

    def _over(self, row: Sequence[int]) -> bool:
        first = next((token for token in row if token == self._mask or token in self._ends), None)
        return first in self._ends


def _positions(ranks: Sequence[int]) -> tuple[int, ...]:
    """From each token's rank among the commits, the positions in the order of their commits."""
    return tuple(sorted(range(len(ranks)), key=lambda position: ranks[position]))
