"""`block_generate`: text behind a prompt by models whose blocks see what is before them alone.

Blocks are written one after another; within one, masks are committed as everywhere else
(infill.py). What a block has seen does not change any more once it is full, so that keys and values
are kept for good: this cache is exact. They are kept once for each text, and those of the prompt
are shared by all of them.

Sources of the families' own ways: JetAstra/SDAR (generate.py), dllm's samplers for LLaDA 2 and for
block diffusion (Arriola et al. 2025, arXiv 2503.09573), Fast-dLLM v2 (arXiv 2509.26328),
Stable-DiffCoder (arXiv 2601.15892). They differ in `families.BlockRules`, and in where a last block
ends: here every block is whole. S texts, B holes, T tokens of a block, W tokens of earlier blocks
behind the prompt's whole ones, L layers, K key/value heads, E head dimension, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffufix.decode.context.views import family_of
from diffufix.decode.infill import Hook, PartialFill, Rule, advance, chunks
from diffufix.decode.tokens import check_algorithm
from diffufix.decode.types import Asked
from diffufix.errors import UsageError
from diffufix.model.beside import PrefixGroup, denoise
from diffufix.model.families import block_rules_of
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer, block_causal
from diffufix.types import Commit, Fill


class BlockContext:
    """The `Context` of texts that go on: a hole is the block behind one, masks and ids.

    Text 0 is the whole blocks of the prompt; `extend` adds others.
    """

    def __init__(self, model: Transformer, prompt: Sequence[int], block: int, offset: int) -> None:
        """`offset` is how many places of the first block the prompt leaves out."""
        self.model, self.family = model, family_of(model, None)
        self.vocab_size = model.config.vocab_size
        textless = getattr(model, "textless", ())
        self.banned = tuple(sorted({*textless, self.family.mask}))
        self._start, device = len(prompt), model.device
        ids_1C = torch.tensor([list(prompt)], dtype=torch.long, device=device)
        positions_1C = torch.arange(len(prompt), device=device)[None]
        seen = block_causal(positions_1C + offset, block)
        hidden_1CD, self._shared = model.hidden(ids_1C, positions_1C, seen)
        config = model.config
        kept = (0, config.num_hidden_layers, 2, config.num_key_value_heads, config.head_dim)
        kind = model.model.norm.weight.dtype
        #: Of every text: keys and values [W, L, 2, K, E] of its blocks, and the last row [1, D].
        self._own: list[tuple[Tensor, Tensor]] = [
            (torch.empty(kept, dtype=kind, device=device), hidden_1CD[0, -1:])
        ]
        self._stacked: tuple[tuple[int, ...], Tensor] | None = None

    def logits(self, holes: Sequence[Asked]) -> Tensor:
        """See `Context.logits`; all holes have the same length, all texts too."""
        hidden_BTD, _ = self._computed(holes)
        if self.family.shift:
            before = torch.stack([self._own[text][1] for text, _ in holes])
            if not before.numel():  # the first block then begins with the prompt
                before = hidden_BTD[:, :1]
            hidden_BTD = torch.cat([before, hidden_BTD[:, :-1]], dim=1)
        masked_BT = torch.tensor([[t == self.family.mask for t in hole] for _, hole in holes])
        return self.model.lm_head(hidden_BTD[masked_BT.to(hidden_BTD.device)])

    def following(self, texts: Sequence[int]) -> Tensor:
        """Logits [S, V] of the id right behind each text, as an autoregressive model's."""
        return self.model.lm_head(torch.cat([self._own[text][1] for text in texts]))

    def extend(self, blocks: Sequence[Asked]) -> list[int]:
        """The texts with these full blocks behind them; equal ones are one text."""
        distinct = list(dict.fromkeys((text, tuple(ids)) for text, ids in blocks))
        hidden_BTD, own_BTLKE = self._computed(distinct)
        found = {}
        for number, (text, ids) in enumerate(distinct):
            found[text, ids] = len(self._own)
            kept = torch.cat([self._own[text][0], own_BTLKE[number]])
            self._own.append((kept, hidden_BTD[number, -1:]))
        return [found[text, tuple(ids)] for text, ids in blocks]

    def forget(self, keep: Collection[int]) -> None:
        """Give back the memory of all other texts."""
        gone = self._own[0][0][:0], self._own[0][1][:0]
        self._own = [own if i in keep else gone for i, own in enumerate(self._own)]
        self._stacked = None

    def _computed(self, holes: Sequence[Asked]) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, D] of the holes; keys and values [B, T, L, 2, K, E]."""
        texts = tuple(text for text, _ in holes)
        if self._stacked is None or self._stacked[0] != texts:
            self._stacked = texts, torch.stack([self._own[text][0] for text in texts])
        past = self._stacked[1]
        B, T = len(holes), len(holes[0][1])
        device, begin = self.model.device, self._start + past.shape[1]
        ids_N = torch.tensor([t for _, hole in holes for t in hole], device=device)
        positions_N = torch.arange(begin, begin + T, device=device).repeat(B)
        group = PrefixGroup(self._shared, B, T, past if past.shape[1] else None)
        hidden_ND, own_N = denoise(self.model, ids_N, positions_N, [group])
        return hidden_ND.view(B, T, -1), own_N.view(B, T, *own_N.shape[1:])


@dataclass
class _Text:
    """One completion on its way: the block at its end, and what the blocks before it hold."""

    row: PartialFill
    given: int  # places of the block that are the prompt's
    ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    trace: list[Commit] = field(default_factory=list)
    steps: int = 0
    over: bool = False

    def ended(self, ends: Collection[int], mask: int) -> bool:
        """Whether an id of `ends` stands in the block with no mask before it."""
        first = next((t for t in self.row.ids[self.given :] if t == mask or t in ends), mask)
        return first != mask

    def take(self) -> None:
        """The block becomes part of the text."""
        done, behind = len(self.trace), len(self.ids) - self.given
        self.trace += [Commit(c.step, c.position + behind, c.token, c.logp) for c in self.row.trace]
        self.ids += self.row.ids[self.given :]
        self.logps += self.row.logps[self.given :]
        self.order += [at + done if at >= 0 else -1 for at in self.row.order[self.given :]]
        self.steps += self.row.steps

    def fill(self, most: int, ends: Collection[int]) -> Fill:
        """What stands before the first end, `most` ids of it at most."""
        length = next((i for i, t in enumerate(self.ids) if t in ends), len(self.ids))
        length = min(length, most)
        trace = tuple(commit for commit in self.trace if commit.position < length)
        ranks = {commit.position: rank for rank, commit in enumerate(trace)}
        return Fill(
            tuple(self.ids[:length]), tuple(self.logps[:length]),
            tuple(ranks.get(i, -1) for i in range(length)),
            sum(commit.logp for commit in trace), self.steps, trace,
        )  # fmt: skip


@torch.no_grad()
def block_generate(
    model: Transformer,
    prompt: Sequence[int],
    n: int,
    *,
    max_new_tokens: int,
    ends: Collection[int] = (),
    block: int | None = None,
    temperature: float = 0.0,
    top_p: float | None = None,
    top_k: int | None = None,
    alg: str = "maskgit_plus",
    tokens_per_step: int = 1,
    threshold: float | None = None,
    generator: torch.Generator | None = None,
    over: Callable[[Sequence[int]], bool] = lambda ids: False,
    hook: Hook | None = None,
) -> list[Fill]:
    """`n` completions of the prompt, each up to the first id of `ends`, which is not part of it.
    After every block `over` is asked, with the ids so far, whether a completion is over.

    Each step commits `tokens_per_step` masks of a block and with `threshold` all whose probability
    exceeds it. `block` is the family's where it is not given. `hook` is shown the texts, masks
    included. A fill's `order` and `trace` are those of the whole completion. Raises UsageError.
    """
    check_algorithm(alg)
    family = family_of(model, None)
    block = block or family.block
    if n < 1 or max_new_tokens < 1 or tokens_per_step < 1 or block < 1:
        raise UsageError("n, max_new_tokens, tokens_per_step and the block must be at least 1.")
    rules, mask = block_rules_of(family.name), family.mask
    if family.shift and not prompt:
        raise UsageError("A prompt of one id or more is needed.", "Begin with the bos id.")
    offset = -len(prompt) % block if rules.from_prompt else 0
    whole = len(prompt) - (len(prompt) + offset) % block
    context = BlockContext(model, prompt[:whole], block, offset)
    rule = Rule(
        temperature, top_p, top_k, alg, 0.0, tokens_per_step, threshold, None, generator,
        rules.window,
    )  # fmt: skip
    given = list(prompt[whole:])
    texts = [_Text(_block(0, given, block, mask), len(given)) for _ in range(n)]
    step = 0
    while live := [text for text in texts if not text.over]:
        if rules.leads and live[0].row.ids[0] == mask:
            _lead(context, live, step, family)
        while rows := [t.row for t in live if mask in t.row.ids and not t.ended(ends, mask)]:
            for part in chunks(rows, context):
                advance(part, context, rule, step)
            step += 1
            if hook:
                hook(step, [[*t.ids, *([] if t.over else t.row.ids[t.given :])] for t in texts])
        for text in live:
            ended = text.ended(ends, mask)
            text.take()
            text.over = ended or len(text.ids) >= max_new_tokens or over(text.ids)
        on = [text for text in live if not text.over]
        if on:
            numbers = context.extend([(text.row.prompt, text.row.ids) for text in on])
            context.forget(numbers)
            for text, number in zip(on, numbers, strict=True):
                text.row, text.given = _block(number, [], block, mask), 0
    return [text.fill(max_new_tokens, ends) for text in texts]


def _block(text: int, given: Sequence[int], block: int, mask: int) -> PartialFill:
    return PartialFill([*given, *[mask] * (block - len(given))], budget=0, prompt=text)


def _lead(context: BlockContext, texts: Sequence[_Text], step: int, family: Family) -> None:
    """Commit the first id of every block, the likeliest behind the block before."""
    logits_SV = context.following([text.row.prompt for text in texts]).float()
    logits_SV[:, list(context.banned)] = -torch.inf
    best, ids = logits_SV.log_softmax(-1).max(-1)
    for text, token, logp in zip(texts, ids.tolist(), best.tolist(), strict=True):
        text.row.commit([(0, token, logp)], step, family)
