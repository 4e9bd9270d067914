"""Which weights a run uses: the model, and what was trained on top of it in this project.

Reads `.diffufix/models/` and checkpoints; may download a checkpoint, as `load_model` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from diffufix.config import Settings
from diffufix.engines.providers import EngineName, engines_named, members
from diffufix.errors import CheckpointError, UsageError
from diffufix.registry.cards import CARD, Card, read_card
from diffufix.registry.models import Registry

if TYPE_CHECKING:
    from diffufix.engines.types import Engine
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.model.family import Family

NONE = "none"


@dataclass(frozen=True)
class Policy:
    """Weights by name: `checkpoint`, and the LoRA adapter in the folder `adapter` on top."""

    name: str  # as results and logs call it
    checkpoint: Path
    adapter: Path | None = None
    card: Card | None = None  # of what was trained, where it has one
    note: str = ""  # one line for the user; empty: nothing but what was asked for
    engines: tuple[EngineName, ...] = ()  # that fill the same holes beside it,
    alone: bool = False  # or without it

    def engage(self, most: float, device: str = "auto", dtype: str = "auto") -> tuple[Engine, ...]:
        """Its engines, each probed. Raises PrerequisiteError, CheckpointError."""
        from diffufix.engines.open import open_engine

        opened: list[Engine] = []
        try:
            for name in self.engines:
                opened.append(open_engine(name, most=most, device=device, dtype=dtype))
        except BaseException:
            for engine in opened:
                engine.close()
            raise
        return tuple(opened)

    def load(
        self, device: str = "auto", dtype: str = "auto", beside_engines: bool = False,
        blocks: bool = False,
    ) -> LoadedModel:  # fmt: skip
        """The local model. Raises CheckpointError, PrerequisiteError, and UsageError where engines
        are named too and the caller does not use them, or where the model sees nothing to the right
        of what it writes and the caller does not take one that only goes on (`blocks`)."""
        if self.engines and not beside_engines:
            raise UsageError(
                f"{self.engines[0].text} is an engine: `repair` and `generate` use them, this "
                "command does not.",
                "Name one diffusion model of this machine with --model.",
            )
        from diffufix.model import load_model
        from diffufix.model.checkpoint import family_in

        family = family_in(self.checkpoint, self.name)
        if family.block and not blocks:
            raise UsageError(*cannot_fill(self.name, family))
        model = load_model(self.checkpoint, device=device, dtype=dtype, adapter=self.adapter)
        model.name = self.name
        return model


def cannot_fill(name: str, family: Family) -> tuple[str, str]:
    """Why a block-causal model fills no hole, and what does."""
    from diffufix.model.families import known

    return (
        f"{name} writes block after block of {family.block} tokens and sees nothing to their "
        "right: it cannot fill a hole in the middle.",
        f"`diffufix generate` and `diffufix chat` use it. What fills holes: {known(filling=True)}.",
    )


@dataclass(frozen=True)
class Base:
    """The checkpoint that everything trained stands on."""

    name: str
    folder: Path

    @cached_property
    def fingerprint(self) -> str:
        from diffufix.model.checkpoint import fingerprint_of

        return fingerprint_of(self.folder)


def base_of(settings: Settings) -> Base:
    """What `--model` names, found on disk. Raises CheckpointError, PrerequisiteError, and
    UsageError for an engine."""
    from diffufix.model import hub

    if engines := engines_named(settings.model):
        raise UsageError(
            f"{engines[0].text} is an engine: nothing is trained on it, and nothing adopted.",
            f"Name a diffusion model of this machine, such as --model {hub.MINI}.",
        )
    name = settings.model or hub.decide(settings.device).name
    folder = hub.locate(name)
    is_folder = name != hub.MINI and Path(name).expanduser().is_dir()
    return Base(str(folder.resolve()) if is_folder else name, folder)


def choose_policy(settings: Settings) -> Policy:
    """The weights that `--model` and `--adapter` ask for.

    Raises UsageError (no such adapter), CheckpointError (one for another model, a damaged one),
    StoreError (the pointer to the adopted one cannot be read).
    """
    from diffufix.model import hub

    engines = engines_named(settings.model)
    if engines:
        return _with_engines(settings, engines)
    if settings.model:
        return _chosen(settings)
    choice = hub.decide(settings.device)
    chosen = _chosen(replace(settings, model=choice.name))
    return replace(chosen, note="; ".join(filter(None, (choice.note, chosen.note))))


def _with_engines(settings: Settings, engines: tuple[EngineName, ...]) -> Policy:
    """The local model that is named beside engines, if any, and those."""
    from diffufix.model import hub

    texts = {engine.text for engine in engines}
    local = [part for part in members(settings.model) if part not in texts]
    if len(local) > 1:
        raise UsageError(
            f"--model names {len(local)} models of this machine: {', '.join(local)}.",
            "A committee has one of them at most, and any number of engines.",
        )
    chosen = _chosen(replace(settings, model=local[0] if local else hub.MINI))
    name = ",".join([*([chosen.name] if local else []), *(engine.text for engine in engines)])
    sent = sorted({engine.host for engine in engines if engine.elsewhere})
    note = f"code around the holes is sent to {', '.join(sent)}" if sent else ""
    note = "; ".join(filter(None, (chosen.note if local else "", note)))
    return replace(chosen, name=name, engines=engines, alone=not local, note=note)


def _chosen(settings: Settings) -> Policy:
    base = base_of(settings)
    plain = Policy(base.name, base.folder)
    if settings.adapter == NONE:
        return plain
    registry = Registry(settings.root)
    if settings.adapter:
        if settings.adapter in registry:
            return _registered(registry, settings.adapter, base)
        return _folder(Path(settings.adapter).expanduser(), base, registry)
    if not registry.in_use() or (name := registry.adopted(base.fingerprint)) is None:
        return plain
    try:
        chosen = _registered(registry, name, base)
    except (CheckpointError, UsageError) as error:
        hint = "`diffufix models rollback` goes back to what was in use before."
        raise CheckpointError(f"The adopted model cannot be used: {error.message}", hint) from error
    card = chosen.card
    assert card is not None
    note = (
        f"using {name}, pulled from {card.source}"
        if card.source
        else (f"using {name}, which was trained here" + (f" ({card.verdict})" if card.gate else ""))
    )
    return replace(chosen, note=f"{note}; --adapter none leaves it out")


def _registered(registry: Registry, name: str, base: Base) -> Policy:
    folder, card = registry.path(name), registry.card(name)
    if card.base != base.fingerprint:
        raise CheckpointError(
            f"{name} was trained for {card.base_name}, of other weights than {base.name}.",
            f"Use it with --model {card.base_name}, or leave it out with --adapter none.",
        )
    return _policy(folder, base, card.shown_name, card)


def _folder(folder: Path, base: Base, registry: Registry) -> Policy:
    if not folder.is_dir():
        known = ", ".join(registry.names())
        raise UsageError(
            f"There is no adapter {str(folder)!r}.",
            f"Trained here: {known}." if known else "Nothing was trained in this project yet.",
        )
    card = read_card(folder) if (folder / CARD).is_file() else None
    if card is not None and card.base != base.fingerprint:
        raise CheckpointError(
            f"{folder} was made for {card.base_name}, of other weights than {base.name}.",
            "Name its model with --model.",
        )
    return _policy(folder, base, f"{base.name}+{folder.resolve().name}", card)


def _policy(folder: Path, base: Base, name: str, card: Card | None) -> Policy:
    if (folder / "adapter_config.json").is_file():
        return Policy(name, base.folder, adapter=folder, card=card)
    if (folder / "config.json").is_file():
        return Policy(name, folder, card=card)
    raise CheckpointError(
        f"{folder} holds neither an adapter nor a checkpoint.",
        "An adapter has adapter_config.json, a checkpoint config.json.",
    )
