"""Recipes: everything that decides the weights besides corpus and tokenizer. Reads TOML files.

A recipe is one timeline of steps. Its stages follow each other on it: `pretrain`, `anneal`, `sft`
(several in a row may share a name). The commands of the same names run their part of it, in one
folder or in several, with the same outcome as one run from end to end.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from diffufix.errors import UsageError

STAGES = ("pretrain", "anneal", "sft")
#: `history` are repairs that projects have seen, `breaking` the same backwards, `tokens` blocks of
#: running text, for models without holes beside their context.
KINDS = ("plain", "gap", "body", "repair", "history", "breaking", "tokens")


@dataclass(frozen=True)
class RecipeStage:
    """A share of all steps, with its mixture of example kinds and its part of the corpus."""

    share: float
    mixture: dict[str, float]
    name: str = "pretrain"
    lr: float = 1.0  # factor of the learning rates
    quality: float = 0.0  # only functions that the corpus grades at least so


@dataclass(frozen=True)
class Recipe:
    """Shape 0 means: as the checkpoint that training starts from. Rates are at their peak."""

    hidden_size: int = 0
    intermediate_size: int = 0
    layers: int = 0
    heads: int = 0
    kv_heads: int = 0
    copy_size: int = 0  # width of a head that copies ids of the context; 0: none
    copy_twins: bool = False  # it copies names with and without their blank
    edit_size: int = 0  # width of a head that says where to edit; 0: none
    window: int = 0  # tokens of a function that a new model reads at once; 0: as ever
    steps: int = 0
    rows: int = 16  # examples of one step, over all processes
    length: int = 512  # tokens of one packed sequence
    accumulate: int = 1  # parts that the rows of a step are computed in
    optimiser: str = "muon"  # for matrices inside of blocks; "adamw": for everything
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 100
    decay_from: float = 0.6  # then linearly to 0
    clip: float = 1.0
    ema: float = 0.0  # decay of the averaged weights, which are then the ones exported
    t: tuple[float, float] = (0.1, 0.7)  # range of the masked share of plain and tokens examples
    elbo: bool = False  # weight 1/t, the likelihood bound, instead of the same for every t
    attention_ramp: float = 0.0  # share of the steps in which attention goes from causal to full
    seed: int = 0
    stages: list[RecipeStage] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, **overrides: Any) -> Recipe:
        """Raises UsageError, with the nearest key for one that does not exist."""
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise UsageError(
                f"The recipe {path} cannot be read: {error.strerror}.",
                "Recipes that come with diffufix lie in train/recipes/.",
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not TOML: {error}", "See docs/training.md.") from error
        tables = values.pop("stage", [])
        if not isinstance(tables, list) or not tables:
            raise UsageError(f"{path} has no [[stage]].", "docs/training.md shows a recipe.")
        stages = [
            RecipeStage(**_checked(RecipeStage, table, f"{path}, stage {number}"))
            for number, table in enumerate(tables, 1)
        ]
        recipe = cls(**{**_checked(cls, values, str(path)), **overrides, "stages": stages})
        recipe._check(path)
        return recipe

    def rate(self, step: int, born: int = 0) -> float:
        """The learning-rate factor: warm-up from step `born` on, constant, linear decay to zero;
        stages may have factors of their own."""
        warm = min(1.0, (step - born + 1) / self.warmup) if self.warmup else 1.0
        start = self.decay_from * self.steps
        left = 1.0 if step < start else max(0.0, (self.steps - step) / (self.steps - start))
        return warm * left * self.stage(step).lr

    def bounds(self) -> list[tuple[int, int]]:
        """First step of every stage, and the step after its last."""
        ends, done = [0], 0.0
        for stage in self.stages:
            done += stage.share
            ends.append(round(done * self.steps))
        ends[-1] = self.steps
        return list(itertools.pairwise(ends))

    def stage(self, step: int) -> RecipeStage:
        for stage, (_, end) in zip(self.stages, self.bounds(), strict=True):
            if step < end:
                return stage
        return self.stages[-1]

    def part(self, name: str, through: str | None = None) -> tuple[int, int]:
        """The steps [first, last) of the stages of that name, or of all from there `through`
        another one. Raises UsageError where the recipe has none."""
        wanted = STAGES[STAGES.index(name) : STAGES.index(through or name) + 1]
        spans = [
            span
            for stage, span in zip(self.stages, self.bounds(), strict=True)
            if stage.name in wanted
        ]
        if not spans or name not in {stage.name for stage in self.stages}:
            raise UsageError(
                f"The recipe has no stage named {name}.",
                f"It has: {', '.join(dict.fromkeys(stage.name for stage in self.stages))}.",
            )
        return spans[0][0], spans[-1][1]

    def kinds(self, first: int = 0, last: int | None = None) -> set[str]:
        """The kinds of examples of the steps [first, last)."""
        last = self.steps if last is None else last
        return {
            kind
            for stage, (start, end) in zip(self.stages, self.bounds(), strict=True)
            if start < last and first < end
            for kind, weight in stage.mixture.items()
            if weight
        }

    def attention(self, step: int) -> float:
        """The share of future places that a token sees: 0 causal, 1 full."""
        ramp = self.attention_ramp * self.steps
        return min(1.0, step / ramp) if ramp else 1.0

    def _check(self, path: Path) -> None:
        def fail(what: str, hint: str = "docs/training.md explains the keys.") -> None:
            raise UsageError(f"{path}: {what}", hint)

        order = [STAGES.index(s.name) if s.name in STAGES else -1 for s in self.stages]
        if -1 in order or order != sorted(order):
            fail(f"stages must be named {', '.join(STAGES)}, in this order.")
        if abs(sum(stage.share for stage in self.stages) - 1) > 1e-6:
            fail("the stages' shares do not add up to 1.")
        for stage in self.stages:
            for kind in stage.mixture:
                if kind not in KINDS:
                    fail(f"there is no kind of example {kind!r}.{_nearest(kind, KINDS)}")
            if not stage.mixture or min(stage.mixture.values()) < 0:
                fail(f"the mixture of stage {stage.name} is empty or negative.")
        for key in ("steps", "rows", "length", "accumulate"):
            if getattr(self, key) <= 0:
                fail(f"{key} must be more than 0.")
        if self.rows % self.accumulate:
            fail(f"rows = {self.rows} cannot be split into accumulate = {self.accumulate} parts.")
        if self.heads and (self.hidden_size % self.heads or self.heads % (self.kv_heads or 1)):
            fail("hidden_size must be a multiple of heads, and heads of kv_heads.")
        if self.optimiser not in ("muon", "adamw"):
            fail(f"there is no optimiser {self.optimiser!r}.", "muon and adamw are.")
        if not 0 < self.t[0] < self.t[1] <= 1:
            fail("t must be two growing numbers over 0 and up to 1.")


def _checked(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values as a dataclass takes them. Raises UsageError for unknown keys and wrong types."""
    known = {f.name: f for f in fields(kind) if f.name != "stages"}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise UsageError(
                f"{where}: there is no key {key!r}.{_nearest(key, known)}",
                f"Keys: {', '.join(known)}.",
            )
        type_ = str(known[key].type).split("[")[0]
        wanted: dict[str, tuple[type, ...]] = {
            "int": (int,), "float": (int, float), "bool": (bool,), "str": (str,),
            "dict": (dict,), "tuple": (list,),
        }  # fmt: skip
        if not isinstance(value, wanted[type_]) or (type_ != "bool" and isinstance(value, bool)):
            raise UsageError(f"{where}: {key} = {value!r} is no {type_}.", "Correct the recipe.")
        found[key] = tuple(values[key]) if type_ == "tuple" else value
    for name, f in known.items():
        if f.default is MISSING and f.default_factory is MISSING and name not in found:
            raise UsageError(f"{where} lacks {name}.", "docs/training.md shows a recipe.")
    return found


def _nearest(key: str, known: Any) -> str:
    close = difflib.get_close_matches(key, list(known), 1)
    return f" Did you mean {close[0]!r}?" if close else ""
