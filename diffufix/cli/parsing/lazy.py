"""Commands that are imported once they are asked for, so that a help page is there at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer

from diffufix.cli.parsing.pages import CliCommand


@dataclass(frozen=True)
class LazyCommand:
    """Where a command is: `module:name` of a function or of a `typer.Typer`.

    `summary` is the first sentence of its page, which is shown without importing it."""

    where: str
    panel: str
    summary: str
    cls: type[Any] = CliCommand

    def load(self, name: str) -> Any:
        module, _, attribute = self.where.partition(":")
        made = getattr(import_module(module), attribute)
        if isinstance(made, typer.Typer):
            command: Any = typer.main.get_group(made)
        else:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(name, cls=self.cls)(made)
            command = typer.main.get_command(alone)
        command.name, command.rich_help_panel = name, self.panel
        return command


class LazyCommands(MutableMapping[str, Any]):
    """Name -> command, as a group keeps them."""

    def __init__(self, places: Mapping[str, LazyCommand]) -> None:
        self.places = dict(places)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self.places[name].load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.places or name in self._loaded

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        self.places.pop(name, None)
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter({**self.places, **self._loaded})

    def __len__(self) -> int:
        return len({**self.places, **self._loaded})
