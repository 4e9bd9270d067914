"""From an autoregressive Qwen2-type checkpoint to a masked diffusion model.

As in DiffuLLaMA (arXiv 2410.17891) and DiffuCoder (arXiv 2506.20639): the shift stays (the row
left of a place predicts it), attention goes from causal to full over the first steps, and the loss
of masked places is weighted by 1/t. The text is blocks of the corpus, joined by end-of-text ids.
Reads checkpoint and corpus; writes the tokenizer, with a mask where it had none, into a folder.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diffufix.errors import CheckpointError
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.model.family import Family
from diffufix.model.files import read_json
from diffufix.model.tokenizer import Tokenizer, load_tokenizer
from diffufix.train.batch import IGNORE
from diffufix.train.checkpoints import TOKENIZER_FILES
from diffufix.train.pretrain.batches import Listed, spread
from diffufix.train.pretrain.supply import QUIZ_BATCHES, QUIZ_ROWS, QUIZ_SEED, Make, read_functions
from diffufix.train.recipe import Recipe

MASK = "<|mask|>"
AUTOREGRESSIVE = frozenset({"qwen2"})  # model types that can be adapted


def is_autoregressive(folder: Path) -> bool:
    """Whether a checkpoint folder holds a Qwen2-type model that was not adapted yet."""
    raw = read_json(folder / "config.json")
    return str(raw.get("model_type", "")).lower() in AUTOREGRESSIVE and "diffufix" not in raw


def open_autoregressive(folder: Path, tokenizer_to: Path) -> LoadedModel:
    """The model in float32 on the CPU, with a row for the mask, as the start of an adaptation.

    Its tokenizer goes to `tokenizer_to`. Raises CheckpointError.
    """
    raw, tokenizer = read_json(folder / "config.json"), load_tokenizer(folder)
    eos = raw.get("eos_token_id")
    eos = eos[0] if isinstance(eos, list) else eos
    if eos is None:
        eos = tokenizer.id("<|endoftext|>")
    if eos is None:
        raise CheckpointError(
            f"{folder} names no end-of-text id.", "Add eos_token_id to its config.json."
        )
    known = tokenizer.id(MASK)
    mask = len(tokenizer) if known is None else known
    pad, bos = raw.get("pad_token_id"), raw.get("bos_token_id")
    family = Family(
        name="adapted", shift=True, layout="inline", chat="none", mask=mask, eos=eos,
        pad=eos if pad is None else pad, bos=bos,
    )  # fmt: skip
    model = load_model(folder, device="cpu", dtype=torch.float32, family=family)
    if known is None:
        _give_a_row(model, mask, len(tokenizer))
    _write_tokenizer(folder, tokenizer_to, None if known is not None else mask)
    model.tokenizer = load_tokenizer(tokenizer_to)
    return model


def _give_a_row(model: LoadedModel, mask: int, used: int) -> None:
    """A row for the mask in embeddings and head, grown if need be: the mean of the used ones."""
    heads = [model.model.embed_tokens]
    if not model.config.tie_word_embeddings:
        heads.append(model.lm_head)
    for module in heads:
        weight = module.weight.detach()
        missing = mask + 1 - len(weight)
        if missing > 0:
            weight = torch.cat([weight, weight.new_zeros(missing, weight.shape[1])])
        weight[mask] = weight[:used].mean(0)
        module.weight = torch.nn.Parameter(weight)
    size = len(model.model.embed_tokens.weight)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.model.embed_tokens.num_embeddings = model.lm_head.out_features = size
    model.config = type(model.config)(**{**vars(model.config), "vocab_size": size})


def _write_tokenizer(source: Path, target: Path, mask: int | None) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    if mask is not None:
        path = target / "added_tokens.json"
        added = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        path.write_text(json.dumps({**added, MASK: mask}, indent=1) + "\n", "utf-8")


@dataclass(frozen=True)
class Blocks:
    """Tensors [B, T] of running text. `labels` stand one left of the places that they mask, where
    the shift reads them. `allowed` [T, T] is True where attention is."""

    ids: Tensor
    positions: Tensor
    rows: Tensor
    labels: Tensor
    weights: Tensor
    allowed: Tensor

    def attention(self) -> Tensor:
        return self.allowed[None, None]


@dataclass(frozen=True)
class BlockSupply:
    """Blocks of the corpus' functions for a model of the inline layout."""

    recipe: Recipe
    corpus: Path
    tokenizer: Path
    family: Family

    def open(self) -> Make:
        recipe, tokenizer = self.recipe, load_tokenizer(self.tokenizer)
        graded = {
            least: read_functions(self.corpus, least)
            for least in {stage.quality for stage in recipe.stages}
        }
        size = recipe.rows // recipe.accumulate

        def make(step: int, part: int) -> Blocks:
            rng = random.Random(f"{recipe.seed}/{step * recipe.accumulate + part}")
            texts = graded[recipe.stage(step).quality]
            return self._make(tokenizer, texts, size, recipe.attention(step), rng)

        return make

    def quiz(self) -> Mapping[str, Sequence[Blocks]]:
        tokenizer = load_tokenizer(self.tokenizer)
        texts = read_functions(self.corpus, held_out=True)
        if not texts:
            return {}
        size = min(self.recipe.rows, QUIZ_ROWS)
        rngs = [random.Random(f"{QUIZ_SEED}/{number}") for number in range(QUIZ_BATCHES)]
        return {"tokens": [self._make(tokenizer, texts, size, 1.0, rng) for rng in rngs]}

    def _make(
        self,
        tokenizer: Tokenizer,
        texts: Sequence[Listed],
        size: int,
        attention: float,
        rng: random.Random,
    ) -> Blocks:
        length = self.recipe.length
        blocks = [self._block(tokenizer, texts, length, rng) for _ in range(size)]
        shares = spread(size, self.recipe.t, rng)
        return noised(blocks, shares, self.family, rng, attention, self.recipe.elbo)

    def _block(
        self, tokenizer: Tokenizer, texts: Sequence[Listed], length: int, rng: random.Random
    ) -> list[int]:
        """End of text, a text, end of text, …: `length` ids."""
        assert self.family.eos is not None
        ids: list[int] = []
        while len(ids) < length:
            drawn = rng.choice(texts)
            text = drawn if isinstance(drawn, str) else drawn[0]
            ids += [self.family.eos, *tokenizer.encode(text)]
        return ids[:length]


def noised(
    blocks: Sequence[Sequence[int]],
    shares: Sequence[float],
    family: Family,
    rng: random.Random,
    attention: float = 1.0,
    elbo: bool = True,
) -> Blocks:
    """Mask a share t of each block's places, the first one never (nothing stands left of it).

    `attention` is the share of future places that a place sees.
    """
    ids = torch.tensor(blocks)
    B, T = ids.shape
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    t = torch.tensor(shares)[:, None]
    masked = torch.rand(B, T, generator=generator) < t
    masked[:, 0] = False
    targets = ids.masked_fill(~masked, IGNORE)
    labels = torch.full_like(ids, IGNORE)
    where = slice(None, -1) if family.shift else slice(None)
    labels[:, where] = targets[:, 1:] if family.shift else targets
    weights = (1 / t if elbo else torch.ones_like(t)).expand(B, T).contiguous()
    allowed = torch.ones(T, T, dtype=torch.bool).tril()
    allowed |= torch.rand(T, T, generator=generator) < attention
    return Blocks(
        ids.masked_fill(masked, family.mask),
        torch.arange(T).expand(B, T).contiguous(),
        torch.arange(B)[:, None].expand(B, T).contiguous(),
        labels,
        weights,
        allowed,
    )
