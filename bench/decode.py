"""How many fills of an 8-token hole in a 160-token context are made per minute.

    python bench/decode.py [--model mini] [--threads 2] [--fills 256] [--out bench/results]
    python bench/decode.py --shape qwen2-100m [--threads 2] [--refresh 8] [--out bench/results]

Holes of eight tokens in functions of the standard library, cut to 160 tokens, are filled by
`infill` one token a step, `--batch` fills at once; then some of them again with the plain way to
answer the same questions, one forward pass over context, what was there and fill for every state.
Last, the search of `diffufix repair` (`BestFirst`) over several such holes, in states per second.
With `--shape` it is a large model's shape instead, against the reference algorithm
(decode_shapes.py). The table goes to stderr, the last line of stdout is one JSON object. Touches
only `--out`.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import platform
import random
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import diffufix  # noqa: F401  # isort: skip  # it decides how the threads of torch wait

import torch
from torch import Tensor

from bench import decode_shapes
from diffufix.decode import Context, infill, open_context
from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.best_first import BestFirst, Question
from diffufix.decode.layout import context_ids, segment
from diffufix.model import LoadedModel, load_model
from diffufix.propose.in_place import REFRESH
from diffufix.types import Canvas, Fill

CONTEXT, HOLE = 160, 8  # tokens
MODULES = (textwrap, random, argparse, json, inspect, ast)


def functions(model: LoadedModel) -> Iterator[list[int]]:
    """Ids of functions of the standard library, cut to CONTEXT tokens."""
    for module in MODULES:
        source = inspect.getsource(module)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                ids = model.tokenizer.encode(ast.get_source_segment(source, node) or "")
                if len(ids) >= CONTEXT:
                    yield ids[:CONTEXT]


def canvas(ids: Sequence[int], rng: random.Random) -> Canvas:
    start = rng.randrange(CONTEXT // 8, CONTEXT - HOLE)
    end = start + HOLE
    return Canvas(tuple(ids[:start]), tuple(ids[end:]), tuple(ids[start:end]))


class Plain:
    """The `Context` that computes the whole sequence for every state."""

    def __init__(self, model: LoadedModel, canvas: Canvas) -> None:
        self.model, self.canvas, self.family = model, canvas, model.family
        self.banned, self.vocab_size = model.banned, model.config.vocab_size

    def logits(self, asked: Sequence[tuple[int, Sequence[int]]]) -> Tensor:
        holes = [hole for _, hole in asked]
        family, canvas = self.family, self.canvas
        context = context_ids(family, [*canvas.left, *canvas.original, *canvas.right])
        start, C = len(canvas.left) + 1, len(context)
        end = start + len(canvas.original)
        rows = [segment(family, canvas.original, start, end, hole) for hole in holes]
        width = C + max(len(ids) for ids, _, _ in rows)
        ids_BT = torch.zeros(len(rows), width, dtype=torch.long)
        positions_BT = torch.zeros(len(rows), width, dtype=torch.long)
        seen_BTT = torch.zeros(len(rows), width, width, dtype=torch.bool)
        seen_BTT[:, :, :C] = True
        for b, (ids, positions, first) in enumerate(rows):
            last = C + len(ids)
            ids_BT[b, :last] = torch.tensor(context + ids)
            positions_BT[b, :last] = torch.tensor([*range(C), *positions])
            seen_BTT[b, C:, C : C + first] = True
            seen_BTT[b, C + first :, C + first : last] = True
        hidden, _ = self.model.hidden(ids_BT, positions_BT, seen_BTT[:, None])
        places = hidden[ids_BT == family.mask]
        logits, head = self.model.lm_head(places), self.model.copy
        if head is None:
            return logits
        shown = torch.tensor(context)  # the same in every row
        return head(logits, places, head.k_proj(hidden[0, :C]), shown, torch.ones(C).bool())


def shared(model: LoadedModel, canvas: Canvas) -> Context:
    return open_context(model, [canvas])


def sample(
    model: LoadedModel,
    canvases: Sequence[Canvas],
    make: Callable[[LoadedModel, Canvas], Context],
    batch: int,
) -> tuple[list[Fill], float, float]:
    """`batch` fills of every canvas; seconds on the clock and of the processor."""
    fills: list[Fill] = []
    clock, cpu = time.perf_counter(), time.process_time()
    for number, one in enumerate(canvases):
        fills += infill(
            model, one, batch, lengths=[HOLE], max_tokens=HOLE, temperature=1.0,
            context=make(model, one), generator=torch.Generator().manual_seed(number),
        )  # fmt: skip
    return fills, time.perf_counter() - clock, time.process_time() - cpu


def search(model: LoadedModel, texts: Sequence[Sequence[int]], states: int) -> tuple[float, float]:
    """States per second on the clock and of the processor, over holes of several contexts."""
    asked: list[Question] = []
    for ids in texts:
        context = AsideContext(model, ids)
        for start in range(CONTEXT // 8, CONTEXT - HOLE, HOLE):
            place = HoleSpan(start + 1, start + 1 + HOLE, tuple(ids[start : start + HOLE]))
            asked.append(Question(context, place))
    engine = BestFirst(asked)
    clock, cpu = time.perf_counter(), time.process_time()
    while engine.denoised < states and next(engine, None) is not None:
        pass
    seconds = time.perf_counter() - clock
    return engine.denoised / seconds, engine.denoised / (time.process_time() - cpu)


def shape(args: argparse.Namespace) -> None:
    """The run with a large model's shape."""
    options = decode_shapes.Options(args.shape, args.refresh, args.reference_steps)
    result = decode_shapes.measure(options)
    result |= {"threads": args.threads, "cores": os.cpu_count(), "torch": str(torch.__version__)}
    table = decode_shapes.table(result)
    print(table, file=sys.stderr)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        name = f"decode-{args.shape}"
        (args.out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        (args.out / f"{name}.md").write_text(table + "\n")
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--fills", type=int, default=256, help="in all; a sixteenth the plain way")
    parser.add_argument("--batch", type=int, default=32, help="fills of one hole")
    parser.add_argument("--states", type=int, default=4000, help="of the search")
    parser.add_argument("--shape", choices=sorted(decode_shapes.SHAPES), help="instead of a model")
    parser.add_argument("--refresh", type=int, default=REFRESH, help="steps, of --shape")
    parser.add_argument("--reference-steps", type=int, default=2, help="timed, of --shape")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.shape:
        shape(args)
        return
    model = load_model(args.model, device="cpu")
    rng = random.Random(0)
    texts = list(functions(model))
    holes = [canvas(rng.choice(texts), rng) for _ in range(max(1, args.fills // args.batch))]
    some = holes[: max(1, len(holes) // 16)]
    with torch.inference_mode():
        sample(model, holes[:1], shared, 4)  # warm
        fills, clock, cpu = sample(model, holes, shared, args.batch)
        plain, plain_clock, plain_cpu = sample(model, some, Plain, args.batch)
        states, cpu_states = search(model, texts[:2], args.states)
    same = sum(a.ids == b.ids for a, b in zip(fills, plain, strict=False))
    if same < 0.9 * len(plain):  # sums in another order may tip a draw now and then
        sys.exit(f"The two ways make different fills: {same} of {len(plain)} are the same.")
    per_minute, baseline = 60 * len(fills) / clock, 60 * len(plain) / plain_clock
    result = {
        "fills_per_minute": round(per_minute),
        "speedup": round(per_minute / baseline, 1),
        "plain_fills_per_minute": round(baseline),
        "fills_per_cpu_minute": round(60 * len(fills) / cpu),
        "plain_fills_per_cpu_minute": round(60 * len(plain) / plain_cpu),
        "search_states_per_second": round(states),
        "search_states_per_cpu_second": round(cpu_states),
        "context": CONTEXT,
        "hole": HOLE,
        "fills": len(fills),
        "threads": args.threads,
        "cores": os.cpu_count(),
        "model": args.model,
        "parameters": sum(p.numel() for p in model.parameters()),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
    table = "\n".join(
        [
            f"Fills of an {HOLE}-token hole in a {CONTEXT}-token context, {args.threads} threads, "
            f"{args.batch} fills at once, a token a step.",
            "",
            "| way | per minute | per minute of processor time |",
            "|---|---|---|",
            f"| shared context | {per_minute:,.0f} | {result['fills_per_cpu_minute']:,} |",
            f"| a plain forward for every state | {baseline:,.0f} "
            f"| {result['plain_fills_per_cpu_minute']:,} |",
            "",
            f"{result['speedup']} times as many. The search of `diffufix repair` denoises "
            f"{states:,.0f} states a second.",
        ]
    )
    print(table, file=sys.stderr)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "decode.json").write_text(json.dumps(result, indent=2) + "\n")
        (args.out / "decode.md").write_text(table + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
