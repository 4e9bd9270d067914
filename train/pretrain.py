"""Train `mini` from scratch: masked diffusion on functions, gaps and repairs (see examples.py).

    python -m diffufix.train.pretrain --recipe FILE.toml --corpus corpus.jsonl.gz \
        --tokenizer FOLDER --out FOLDER [--steps N] [--device cuda]

The loss is the cross-entropy of the labelled places, each hole weighted by 1 / sqrt(its labels).
Examples are drawn from (seed, step), so a resumed run continues the same curve. Writes
checkpoints (state.pt) and a log (log.jsonl) in --out, and at the end, and at every checkpoint,
the weights in hub layout (config.json, model.safetensors, tokenizer.json).
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from diffufix.model.family import Family
from diffufix.model.tokenizer import load_tokenizer
from diffufix.model.transformer import ModelConfig, Transformer
from diffufix.train.examples import IGNORE, Batch, ExampleMaker, load_corpus, make_batch
from diffufix.train.muon import Muon
from diffufix.train.tokenizer import SPECIAL


@dataclass(frozen=True)
class Stage:
    """A share of all steps with its mixture of example kinds."""

    share: float
    mixture: dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights besides corpus and tokenizer."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    steps: int
    rows: int = 16
    length: int = 512
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 100
    decay_from: float = 0.6  # then linearly to 0
    clip: float = 1.0
    seed: int = 0
    stages: list[Stage] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, **overrides: Any) -> Recipe:
        values = tomllib.loads(path.read_text())
        stages = [Stage(**stage) for stage in values.pop("stage")]
        return cls(**{**values, **overrides}, stages=stages)

    def rate(self, step: int) -> float:
        """The learning-rate factor: warm-up, constant, linear decay to zero."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        start = self.decay_from * self.steps
        return 1.0 if step < start else max(0.0, (self.steps - step) / (self.steps - start))

    def mixture(self, step: int) -> dict[str, float]:
        done = 0.0
        for stage in self.stages:
            done += stage.share * self.steps
            if step < done:
                return stage.mixture
        return self.stages[-1].mixture


def mini_family() -> Family:
    """The family of `mini`: no shift, aside layout, special ids in the tokenizer's order."""
    ids = {name: index for index, name in enumerate(SPECIAL)}
    return Family(name="mini", shift=False, layout="aside", chat="none", **ids)


_worker: dict[str, Any] = {}


def _start_process(corpus: Path, tokenizer: Path, length: int) -> None:
    torch.set_num_threads(1)
    _start_worker(corpus, tokenizer, length)


def _start_worker(corpus: Path, tokenizer: Path, length: int) -> None:
    _worker["corpus"] = load_corpus(corpus)
    _worker["maker"] = ExampleMaker(load_tokenizer(tokenizer), mini_family(), length)


def _work(size: int, mixture: dict[str, float], seed: int, step: int) -> Batch:
    return make_batch(_worker["maker"], _worker["corpus"], size, mixture, seed, step)


def batches(
    recipe: Recipe, corpus: Path, tokenizer: Path, first: int, workers: int
) -> Iterator[tuple[int, Batch]]:
    """(step, batch) from `first` on, made ahead in other processes (here, if `workers` is 0)."""
    if not workers:
        _start_worker(corpus, tokenizer, recipe.length)
        for step in range(first, recipe.steps):
            yield step, _work(recipe.rows, recipe.mixture(step), recipe.seed, step)
        return
    with ProcessPoolExecutor(
        workers, initializer=_start_process, initargs=(corpus, tokenizer, recipe.length)
    ) as pool:
        ahead = []
        for step in range(first, recipe.steps):
            ahead.append(
                (step, pool.submit(_work, recipe.rows, recipe.mixture(step), recipe.seed, step))
            )
            if len(ahead) > 3 * workers:
                ready, future = ahead.pop(0)
                yield ready, future.result()
        for ready, future in ahead:
            yield ready, future.result()


def loss_of(model: Transformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy, and the share of labelled places whose best id is right."""
    hidden, _ = model.hidden(batch.ids, batch.positions, batch.attention())
    at = batch.labels != IGNORE
    logits = model.lm_head(hidden[at]).float()
    labels, weights = batch.labels[at], batch.weights[at]
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (losses * weights).sum() / weights.sum(), (logits.argmax(-1) == labels).float().mean()


def optimisers(model: Transformer, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.model.layers.named_parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if not any(p is m for m in matrices)]
    return [
        Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.adam_lr, betas=(0.9, 0.97), weight_decay=0.0),
    ]


def initialise(model: Transformer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.ndim == 2:
            scale = 0.02 if "embed" in name else 0.7 * p.shape[1] ** -0.5
            torch.nn.init.normal_(p, 0.0, scale, generator=generator)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                p.data.mul_((2 * model.config.num_hidden_layers) ** -0.5)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(p)


def save_model(model: Transformer, folder: Path, tokenizer: Path, recipe: Recipe) -> None:
    """config.json, model.safetensors and tokenizer.json in hub layout."""
    c = model.config
    family = mini_family()
    config = {
        "architectures": ["Dream"],
        "model_type": "Dream",
        "vocab_size": c.vocab_size,
        "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size,
        "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads,
        "num_key_value_heads": c.num_key_value_heads,
        "rope_theta": c.rope_theta,
        "rms_norm_eps": c.rms_norm_eps,
        "tie_word_embeddings": c.tie_word_embeddings,
        "max_position_embeddings": 2048,
        "mask_token_id": family.mask,
        "diffufix": family.as_dict(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    state = {
        k: v.detach().float().cpu().contiguous()
        for k, v in model.state_dict().items()
        if k != "lm_head.weight"
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")


def held_out(
    corpus: Path, tokenizer: Path, recipe: Recipe, count: int = 6
) -> dict[str, list[Batch]]:
    maker = ExampleMaker(load_tokenizer(tokenizer), mini_family(), recipe.length)
    sources = load_corpus(corpus, held_out=True)
    return {
        kind: [
            make_batch(maker, sources, recipe.rows, {kind: 1.0}, 10**6, step)
            for step in range(count)
        ]
        for kind in ("plain", "gap", "repair")
    }


@torch.no_grad()
def evaluate(model: Transformer, batches: dict[str, list[Batch]], device: str) -> dict[str, float]:
    found = {}
    for kind, items in batches.items():
        pairs = [loss_of(model, move(batch, device)) for batch in items]
        found[f"{kind}_loss"] = sum(float(p[0]) for p in pairs) / len(pairs)
        found[f"{kind}_top1"] = sum(float(p[1]) for p in pairs) / len(pairs)
    return {key: round(value, 4) for key, value in found.items()}


def move(batch: Batch, device: str) -> Batch:
    return Batch(*(getattr(batch, name).to(device) for name in batch.__dataclass_fields__))


def train(
    recipe: Recipe,
    corpus: Path,
    tokenizer: Path,
    out: Path,
    device: str = "cpu",
    save_every: int = 250,
    workers: int = 1,
    log_every: int = 50,
    quiz_every: int = 250,
) -> None:
    """Train, or go on from the last checkpoint in `out`. Raises SystemExit where the gradient
    is not finite."""
    out.mkdir(parents=True, exist_ok=True)
    model = make_model(recipe, len(load_tokenizer(tokenizer))).to(device)
    optims = optimisers(model, recipe)
    state_file, first = out / "state.pt", 0
    if state_file.exists():
        first = resume(state_file, model, optims, device)
    quiz = held_out(corpus, tokenizer, recipe)
    began, tokens, losses = time.monotonic(), 0, []
    with open(out / "log.jsonl", "a") as log:
        for step, batch in batches(recipe, corpus, tokenizer, first, workers):
            loss, norm = update(model, optims, move(batch, device), recipe, step)
            losses.append(loss)
            tokens += int((batch.rows >= 0).sum())
            done = step + 1
            if done % log_every == 0:
                seconds = time.monotonic() - began
                row: dict[str, Any] = {
                    "step": done,
                    "loss": round(sum(losses) / len(losses), 4),
                    "norm": round(norm, 3),
                    "tokens": tokens,
                    "seconds": round(seconds, 1),
                    "per_second": round(tokens / seconds),
                }
                losses = []
                if done % quiz_every == 0:
                    row |= evaluate(model, quiz, device)
                print(json.dumps(row), flush=True)
                log.write(json.dumps(row) + "\n")
                log.flush()
            if done % save_every == 0 or done == recipe.steps:
                save_state(state_file, model, optims, done)
                save_model(model, out / "model", tokenizer, recipe)


def make_model(recipe: Recipe, vocabulary: int) -> Transformer:
    config = ModelConfig(
        vocabulary, recipe.hidden_size, recipe.intermediate_size, recipe.layers, recipe.heads,
        recipe.kv_heads, rope_theta=1e4, tie_word_embeddings=True, attention_bias=True,
    )  # fmt: skip
    model = Transformer(config)
    initialise(model, recipe.seed)
    return model


def update(
    model: Transformer,
    optims: Sequence[torch.optim.Optimizer],
    batch: Batch,
    recipe: Recipe,
    step: int,
) -> tuple[float, float]:
    """One step of training; returns the loss and the norm of its gradient before clipping."""
    for optim, rate in zip(optims, (recipe.muon_lr, recipe.adam_lr), strict=True):
        optim.param_groups[0]["lr"] = rate * recipe.rate(step)
    device = batch.ids.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        loss, _ = loss_of(model, batch)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    if not torch.isfinite(norm):
        raise SystemExit(
            f"step {step}: the gradient is not finite; lower the learning rates and resume"
        )
    for optim in optims:
        optim.step()
        optim.zero_grad(set_to_none=True)
    return float(loss.detach()), float(norm)


def save_state(
    file: Path, model: Transformer, optims: Sequence[torch.optim.Optimizer], step: int
) -> None:
    """Everything that a resumed run needs, written whole or not at all."""
    state = {"step": step, "model": model.state_dict(), "optims": [o.state_dict() for o in optims]}
    torch.save(state, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def resume(
    file: Path, model: Transformer, optims: Sequence[torch.optim.Optimizer], device: str
) -> int:
    """Load a state; returns the steps that it has behind it."""
    state = torch.load(file, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    for optim, saved in zip(optims, state["optims"], strict=True):
        optim.load_state_dict(saved)
    return int(state["step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    recipe = Recipe.read(args.recipe, **({"steps": args.steps} if args.steps else {}))
    train(recipe, args.corpus, args.tokenizer, args.out, args.device, args.save_every, args.workers)


if __name__ == "__main__":
    main()
