"""How many samples of one hole a second a large shape makes, against the reference algorithm.

Called by bench/decode.py --shape NAME. Weights are random; the vocabulary's projection is scaled
so that predictions are about as sharp as a trained model's. One run, same weights, same threads:

- ours: `infill` as `diffufix repair` calls it (surroundings shared by all samples and renewed every
  few steps, logits at masks, a nucleus without sorting, draws for what is committed), in full;
- reference: the loop of `diffusion_generate` as published: every step a forward over the whole
  batch, logits of every position, top-p by a sort, a draw for every mask. Its steps all cost the
  same, so a few are timed and counted as often as it takes them (`--reference-steps`).

Peak memory is the process's own: after ours, then after the reference.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffufix.decode import infill
from diffufix.decode.tokens import keep_top_p
from diffufix.model.family import Family
from diffufix.model.transformer import ModelConfig, Transformer
from diffufix.types import Canvas

#: Shapes of Qwen2 by name: vocabulary, width, inner width, layers, heads, key/value heads.
SHAPES = {
    "qwen2-tiny": ModelConfig(2048, 128, 256, 2, 4, 2),
    "qwen2-100m": ModelConfig(32_768, 768, 1664, 12, 12, 2),
    "qwen2-0.5b": ModelConfig(151_936, 896, 4864, 24, 14, 2),
    "qwen2-7b": ModelConfig(152_064, 3584, 18_944, 28, 28, 4),
}
LEFT, RIGHT, HOLE = 320, 192, 24  # tokens
SAMPLES, TEMPERATURE, TOP_P = 16, 1.0, 0.95
SHARP = 4.2  # standard deviation of the logits: an entropy of one to two nats
FAMILY = Family("shape", True, "inline", "none", mask=1, pad=0, eos=0)


@dataclass(frozen=True)
class Options:
    shape: str
    refresh: int = 8
    reference_steps: int = 2
    seed: int = 0


def make_model(config: ModelConfig, seed: int) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.02)
    last = torch.nn.functional.rms_norm(torch.randn(config.hidden_size), (config.hidden_size,))
    with torch.no_grad():
        model.lm_head.weight *= SHARP / (model.lm_head.weight @ last).std()
    return model.eval().requires_grad_(False)


def reference_step(model: Transformer, x_BT: Tensor, generator: torch.Generator) -> Tensor:
    """One step of the published loop: alg `entropy`, one token a row."""
    logits = model(x_BT)
    logits = torch.cat([logits[:, :1], logits[:, :-1]], dim=1)
    masked = x_BT == FAMILY.mask
    logits_NV = keep_top_p(logits[masked] / TEMPERATURE, TOP_P)
    probs_NV = logits_NV.softmax(-1)
    ids = torch.multinomial(probs_NV, 1, generator=generator)[:, 0]
    confidence = (probs_NV * (probs_NV + 1e-10).log()).sum(-1)
    full = torch.full(x_BT.shape, -torch.inf)
    full[masked] = confidence
    chosen = torch.zeros_like(masked).scatter(1, full.topk(1).indices, True)
    drawn = x_BT.masked_scatter(masked, ids)
    return torch.where(chosen, drawn, x_BT)


def peak() -> float:
    """MiB at most so far."""
    scale = 1024 if sys.platform != "darwin" else 1024 * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def measure(options: Options) -> dict[str, Any]:
    """The result of one run, as bench/decode.py prints it."""
    config = SHAPES[options.shape]
    model = make_model(config, options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    words = torch.randint(2, config.vocab_size, (LEFT + RIGHT,), generator=generator).tolist()
    canvas = Canvas(tuple(words[:LEFT]), tuple(words[LEFT:]))
    loaded = peak()

    def ours(tokens: int, seed: int) -> float:
        began = time.perf_counter()
        fills = infill(
            model, canvas, SAMPLES, lengths=[tokens], temperature=TEMPERATURE, top_p=TOP_P,
            family=FAMILY, refresh=options.refresh, generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        assert tokens < HOLE or len({fill.ids for fill in fills}) > SAMPLES // 2
        return time.perf_counter() - began

    with torch.inference_mode():
        ours(2, 1)  # warm
        seconds = ours(HOLE, 0)
        used = peak()
        x = torch.tensor([[*words[:LEFT], *[FAMILY.mask] * HOLE, *words[LEFT:]]] * SAMPLES)
        began = time.perf_counter()
        for _ in range(options.reference_steps):
            x = reference_step(model, x, generator)
        step = (time.perf_counter() - began) / options.reference_steps
    reference = step * HOLE
    return {
        "shape": options.shape,
        "parameters": sum(p.numel() for p in model.parameters()),
        "speedup": round(reference / seconds, 1),
        "samples_per_second": round(SAMPLES / seconds, 3),
        "reference_samples_per_second": round(SAMPLES / reference, 4),
        "tokens_per_second": round(SAMPLES * HOLE / seconds, 1),
        "seconds": round(seconds, 2),
        "reference_seconds": round(reference, 1),
        "reference_steps_timed": options.reference_steps,
        "peak_mib": round(used),
        "reference_peak_mib": round(peak()),
        "weights_mib": round(loaded),
        "samples": SAMPLES,
        "hole": HOLE,
        "context": LEFT + RIGHT,
        "refresh": options.refresh,
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
    }


def table(result: dict[str, Any]) -> str:
    """The same in words, with what others report beside it."""
    return "\n".join(
        [
            f"{result['samples']} samples of a {result['hole']}-token hole in a "
            f"{result['context']}-token context, {result['parameters'] / 1e6:,.0f} M parameters "
            f"({result['shape']}, random weights), {result['threads']} threads.",
            "",
            "| way | samples/s | tokens/s | peak MiB |",
            "|---|---|---|---|",
            f"| diffufix, surroundings renewed every {result['refresh']} steps "
            f"| {result['samples_per_second']} | {result['tokens_per_second']} "
            f"| {result['peak_mib']:,} |",
            f"| reference: the whole batch every step | {result['reference_samples_per_second']} "
            f"| {result['reference_samples_per_second'] * result['hole']:.2f} "
            f"| {result['reference_peak_mib']:,} |",
            "",
            f"{result['speedup']} times as many. Others report, on other machines and tasks: "
            "Fast-dLLM 11.2 to 76 tokens/s on MBPP (6.8 times, Dream 7B), d3LLM up to 280 tokens/s "
            "(its own weights, H100). A 7B on a GPU was not measured here.",
        ]
    )
