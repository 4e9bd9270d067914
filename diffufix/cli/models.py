"""`diffufix models …`: checkpoints that can be had, and what was trained in this project."""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.cli.parsing import CliCommand, CliGroup
from diffufix.config import Settings, load_settings
from diffufix.errors import UsageError
from diffufix.project import find_root
from diffufix.registry.cards import Card
from diffufix.registry.models import Registry
from diffufix.report import jsondoc

if TYPE_CHECKING:
    from diffufix.registry.checkpoints import PublishedCheckpoint

app = typer.Typer(
    cls=CliGroup,
    no_args_is_help=True,
    help="""Models: what there is, what was trained here, use, go back, share.

    Examples:
      diffufix models list
      diffufix models rollback    # use what was in use before
    """,
)

Name = Annotated[str, typer.Argument(help="The name that `diffufix models list` shows.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The base model that the adapter was trained for.",
        show_default="by machine",
    ),
]


@app.command("list", cls=CliCommand)
def list_(json: options.JsonFlag = False) -> None:
    """Models trained here, the oldest first (`*` is in use), then checkpoints that can be had.

    Examples:
      diffufix models list
      diffufix models list --json
    """
    from diffufix.registry.checkpoints import published
    from diffufix.report.checkpoints import checkpoint_lines

    registry = _registry()
    cards, used = registry.cards(), registry.in_use()
    damaged = sorted(set(registry.names()) - {card.name for card in cards})
    if json:
        rows = [card.document() | {"in_use": used.get(card.base) == card.name} for card in cards]
        document = jsondoc.rows_document("models", rows) | {
            "damaged": damaged, "checkpoints": [each.document() for each in published()]
        }  # fmt: skip
        echo(jsondoc.dump(document), nl=False)
        return
    if cards or damaged:
        _list_trained(cards, used, damaged)
    else:
        echo("Nothing was trained here yet: `diffufix train --self-play` does.")
    echo()
    for line in checkpoint_lines(published()):
        echo(line)
    echo("Memory: bfloat16 weights and a batch of holes, an estimate. Any other folder or hub id")
    echo("of a known family goes with --model, too; `diffufix models show NAME` says more.")
    echo("`writes`: `generate` and `chat` use it; it sees nothing right of a hole and fills none.")
    echo("Engines, such as ollama:MODEL, llamacpp: or mercury: are in docs/engines.md.")


def _list_trained(cards: list[Card], used: dict[str, str], damaged: list[str]) -> None:
    width = max(len(card.name) for card in cards) if cards else 4
    head = f"  {'name':{width}}  {'made':16}  {'base':12}  {'from':{width}}  {'method':9}"
    echo(f"{head}  held-out tasks")
    for card in cards:
        mark = "*" if used.get(card.base) == card.name else " "
        base = Path(card.base_name).name[:12]
        echo(
            f"{mark} {card.name:{width}}  {_when(card)}  {base:12}  "
            f"{card.parent_name or 'base':{width}}  {card.method:9}  {card.verdict}"
        )
    for name in damaged:
        echo(f"! {name}  damaged: it has no card that can be read", err=True)


@app.command("show", cls=CliCommand)
def show(name: Name, json: options.JsonFlag = False) -> None:
    """One model: what it was made from and what it was worth; or a checkpoint: what it takes.

    Examples:
      diffufix models show shop-1
      diffufix models show Dream-org/DreamOn-v0-7B
    """
    from diffufix.registry.checkpoints import find

    registry = _registry()
    known = find(name) if name not in registry else None
    if known is not None:
        _show_checkpoint(known, json)
        return
    card = registry.card(name)
    used = registry.in_use().get(card.base) == name
    size = sum(p.stat().st_size for p in registry.path(name).rglob("*") if p.is_file())
    if json:
        document = card.document() | {
            "in_use": used, "folder": str(registry.path(name)), "bytes": size
        }  # fmt: skip
        echo(jsondoc.dump(jsondoc.rows_document("models", [document])), nl=False)
        return
    kind = "LoRA adapter" if card.kind == "lora" else "whole checkpoint"
    echo(f"{name}{', in use' if used else ''}: {kind}, {size / 2**20:,.1f} MiB")
    for key, value in _facts(card).items():
        echo(f"  {key:13} {value}")
    for title, values in (("data", card.data), ("gate", card.gate or {}), ("end", card.metrics)):
        for key, value in values.items():
            echo(f"  {title:5} {key.replace('_', ' '):22} {_plain(value)}")
    echo(f"  in {registry.path(name)}")


def _show_checkpoint(known: PublishedCheckpoint, json: bool) -> None:
    from diffufix.report.checkpoints import facts_of

    if json:
        echo(jsondoc.dump(jsondoc.rows_document("checkpoints", [known.document()])), nl=False)
        return
    echo(known.name)
    for key, value in facts_of(known).items():
        echo(f"  {key:11} {value}")


@app.command("adopt", cls=CliCommand)
def adopt(
    name: Name,
    force: Annotated[
        bool,
        typer.Option("--force", help="Use the model even if it was not better or never compared."),
    ] = False,
) -> None:
    """Use this one in `repair` and `generate` from now on.

    Examples:
      diffufix models adopt shop-1
      diffufix models adopt shop-1 --force    # though nothing shows that it is better
    """
    registry = _registry()
    card = registry.card(name)
    if not force and (card.source or not (card.gate or {}).get("better")):
        raise UsageError(
            f"{name} was not compared in this project."
            if card.source
            else f"{name} was not found better than what it was trained from: {card.verdict}.",
            "Adopt it all the same with --force.",
        )
    before = registry.adopt(name)
    echo(
        f"{name} is in use already."
        if before == name
        else f"{name} is in use on {card.base_name} (before: {before or 'the base as it is'})."
    )


@app.command("rollback", cls=CliCommand)
def rollback(model: ModelOption = None) -> None:
    """Go back to what was in use before the last adoption; nothing is deleted.

    Examples:
      diffufix models rollback
    """
    registry = _registry()
    used = registry.in_use()
    if len(used) == 1 and model is None:
        base = next(iter(used))
    else:
        base = _base(_settings(model))[1]
    left = registry.in_use().get(base)
    now = registry.rollback(base)
    echo(f"{left} is no longer in use; now: {now or 'the base as it is'}.")


@app.command("remove", cls=CliCommand)
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a trained model that is not in use.

    Examples:
      diffufix models remove shop-1
    """
    registry = _registry()
    folder = registry.path(name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"`models remove` deletes {folder}.", "Repeat with --yes.")
        typer.confirm(f"Delete {folder}?", abort=True)
    registry.remove(name)
    echo(f"Removed {name}.")


@app.command("push", cls=CliCommand)
def push(
    name: Name,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The repository on the hub: OWNER/NAME.")
    ],
    public: Annotated[bool, typer.Option("--public", help="Make the repository public.")] = False,
) -> None:
    """Put a model with its card on the Hugging Face hub, privately unless --public.

    Examples:
      diffufix models push shop-1 me/shop-repair
    """
    from diffufix.registry import share

    registry = _registry()
    card, folder = registry.card(name), registry.path(name)
    with tempfile.TemporaryDirectory() as scratch:
        outgoing = Path(scratch) / name
        share.copy_for_others(folder, outgoing, card)
        address = share.push(outgoing, repository, private=not public)
    echo(address)


@app.command("pull", cls=CliCommand)
def pull(
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The repository on the hub: OWNER/NAME.")
    ],
    name: Annotated[
        str | None, typer.Option(help="The name to give it here.", show_default="as there")
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="A branch, tag or commit of the repository.", show_default="main"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence unasked.")] = False,
    model: ModelOption = None,
) -> None:
    """Fetch a checkpoint into the hub's cache, or what others trained into this project.

    A checkpoint of a known family is used with --model from then on, at the commit that was
    fetched. An adapter, or a model that diffufix trained, is kept here; `adopt` puts it to use.

    Examples:
      diffufix models pull Dream-org/DreamOn-v0-7B
      diffufix models pull me/shop-repair --name shop-2
    """
    from diffufix.model.families import repository as published

    known = published(repository)
    if known is not None:
        _pull_checkpoint(known.id, revision, yes)
        return
    from diffufix.registry import share

    registry = _registry()
    name = name or repository.rpartition("/")[2]
    registry.check_free(name)
    with tempfile.TemporaryDirectory() as scratch:
        incoming = Path(scratch) / "incoming"
        commit = share.pull(repository, incoming, revision)
        card = share.card_of(
            incoming, name, f"{repository}@{commit}", lambda: _base(_settings(model))
        )
        registry.add(card, lambda folder: share.take(incoming, folder))
    echo(
        f"{name} is here ({card.verdict}, as it says itself)."
        if card.gate
        else f"{name} is here, not compared."
    )
    echo(f"`diffufix models adopt {name} --force` puts it to use.")


def _pull_checkpoint(name: str, revision: str | None, yes: bool) -> None:
    from diffufix.cli.consent import agreed
    from diffufix.model import hub
    from diffufix.registry.checkpoints import find

    known = find(name)
    assert known is not None
    offer = hub.offer_of(name)
    missing = hub.in_cache(name, revision) is None
    if known.restricted and missing and not agreed(offer, yes=yes, named=True):
        raise UsageError(f"{name} was not fetched: its licence was not accepted.", "--yes does.")
    folder, commit = hub.fetch(name, revision=revision, accepted=known.restricted)
    echo(f"{name} is here, at commit {commit[:12]}: {folder}")
    echo(f"`diffufix {'generate' if known.block else 'repair'} --model {name}` uses it.")


# -- what the commands share -----------------------------------------------------------------------


def _registry() -> Registry:
    return Registry(find_root(Path.cwd()))


def _settings(model: str | None) -> Settings:
    return load_settings(Path.cwd(), (), {"model": model})


def _base(settings: Settings) -> tuple[str, str]:
    """Name and fingerprint of the model that everything trained stands on."""
    from diffufix.registry.policy import base_of

    base = base_of(settings)
    return base.name, base.fingerprint


def _facts(card: Card) -> dict[str, str]:
    facts = {
        "made": f"{_when(card)} by diffufix {card.version}",
        "base": f"{card.base_name} {card.base}",
        "trained from": f"{card.parent_name or 'the base'} {card.parent}".strip(),
        "method": card.method,
        "weights": card.fingerprint,
        "held out": card.verdict,
        "pulled from": card.source,
    }
    return {key: value for key, value in facts.items() if value}


def _when(card: Card) -> str:
    return datetime.fromtimestamp(card.made_at).strftime("%Y-%m-%d %H:%M")


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    if type(value) is int:
        return f"{value:,}"
    return "".join(c if c.isprintable() else "?" for c in str(value))
