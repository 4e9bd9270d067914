"""What is known of a trained model: card.json for programs, README.md for people and the hub."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import diffufix
from diffufix.errors import CheckpointError
from diffufix.trusted import read_regular

CARD = "card.json"
KINDS = ("lora", "full")
SCHEMA_VERSION = 1
_TEXTS = (
    "name", "kind", "base", "base_name", "fingerprint", "parent", "parent_name", "method",
    "source", "version",
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """One trained model. Fingerprints are those of `LoadedModel.fingerprint`."""

    name: str
    kind: str  # lora: peft's layout, goes on top of the base; full: a checkpoint of its own
    base: str  # fingerprint of the checkpoint that it was made for
    base_name: str  # what the user called that: mini, a folder, a hub id
    fingerprint: str = ""  # of these weights, base included
    parent: str = ""  # fingerprint of the weights that training began with
    parent_name: str = ""  # their name here; empty: the base itself
    method: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)  # counts: tasks, groups, completions, ...
    metrics: Mapping[str, Any] = field(default_factory=dict)  # the trainer's last ones
    gate: Mapping[str, Any] | None = None  # what the comparison said; None: not compared
    made_at: float = field(default_factory=time.time)  # seconds since the epoch
    source: str = ""  # where it was pulled from; empty: trained here
    version: str = diffufix.__version__

    @property
    def shown_name(self) -> str:
        """How results and logs call a model with this on it."""
        return f"{Path(self.base_name).name or self.base_name}+{self.name}"

    @property
    def verdict(self) -> str:
        """What the gate said, in a few words."""
        gate = self.gate or {}
        before, after = gate.get("before"), gate.get("after")
        if not isinstance(before, float) or not isinstance(after, float):
            return "not compared"
        tasks = gate.get("tasks", "?")
        word = "better" if gate.get("better") else "not better"
        return f"{before:.1%} -> {after:.1%} of {tasks} held-out tasks, {word}"

    def document(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION} | asdict(self)


def read_card(folder: Path) -> Card:
    """The card in a model's folder. Raises CheckpointError: missing, damaged, of a newer version.

    The folder's name counts, not the one that the card was written under.
    """
    path = folder / CARD
    hint = f"Train it again, or remove {folder}."
    try:
        document = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", hint) from error
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(f"{path} is no card that this version knows.", "Update diffufix.")
    known = {item.name for item in fields(Card)}
    values = {key: value for key, value in document.items() if key in known}
    wrong = [
        key
        for key in _TEXTS
        if not isinstance(text := values.get(key, ""), str) or not text.isprintable()
    ]
    wrong += [key for key in ("data", "metrics") if not isinstance(values.get(key, {}), dict)]
    wrong += [key for key in ("gate",) if not isinstance(values.get(key), dict | None)]
    wrong += [key for key in ("made_at",) if not isinstance(values.get(key, 0.0), int | float)]
    if wrong or values.get("kind") not in KINDS or not values.get("base"):
        raise CheckpointError(f"{path} is damaged: {', '.join(wrong) or 'kind, base'}.", hint)
    return Card(**{**values, "name": folder.name})


def readme(card: Card) -> str:
    """A model card in the hub's conventions."""
    head = ["---"]
    if "/" in card.base_name and not Path(card.base_name).is_absolute():
        head.append(f"base_model: {card.base_name}")
    if card.kind == "lora":
        head.append("library_name: peft")
    head += ["language: code", "tags:", "- code", "- python", "- masked-diffusion"]
    head += ["- program-repair", "- diffufix", *(["- lora"] if card.kind == "lora" else []), "---"]
    made = time.strftime("%Y-%m-%d", time.gmtime(card.made_at))
    what = "A LoRA adapter in peft's layout" if card.kind == "lora" else "A whole checkpoint"
    rows = {
        "made": f"{made} by diffufix {card.version}",
        "base": f"{_shown(card.base_name)} ({card.base})",
        "trained from": f"{card.parent_name or 'the base'} ({card.parent or card.base})",
        "method": card.method or "not known",
        "these weights": card.fingerprint or "not known",
        **{key: _number(value) for key, value in card.data.items()},
    }
    lines = [*head, f"# {card.name}", "", f"{what} for {_shown(card.base_name)}, trained with"]
    lines += ["`diffufix train` on one codebase: tests of that project graded what it wrote. It is"]
    lines += ["made for that project; nothing is claimed about other code.", "", *_table(rows)]
    lines += ["", "## Compared", ""]
    gate = card.gate or {}
    if gate:
        lines += ["Held-out functions of the same project, before and after:", ""]
        lines += _table({key: _number(value) for key, value in gate.items()})
    else:
        lines.append("Not compared with what it was trained from.")
    if card.metrics:
        lines += ["", "## At the end of training", ""]
        lines += _table({key: _number(value) for key, value in card.metrics.items()})
    use = f"diffufix models pull OWNER/{card.name}", f"diffufix models adopt {card.name}"
    lines += ["", "## Use", "", "```bash", *use, "```", ""]
    lines += [
        "It contains no code, but it was trained on code: publish it only where that code may"
    ]
    lines += ["be published."]
    return "\n".join(lines) + "\n"


def _table(rows: Mapping[str, str]) -> list[str]:
    cells = [f"| {key.replace('_', ' ')} | {value.strip()} |" for key, value in rows.items()]
    return ["| | |", "|---|---|", *cells]


def _number(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_number, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_number(item)}" for key, item in value.items())
    return str(value).replace("|", "\\|").replace("\n", " ")


def _shown(name: str) -> str:
    """No folder of the user's machine is published."""
    return Path(name).name if Path(name).is_absolute() else name
