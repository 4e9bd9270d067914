"""Folders to and from the Hugging Face hub. Writes in the folder given; goes to the network.

Only weights, configuration, tokenizer files and cards travel: nothing that a loader could run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffufix.errors import CheckpointError, DiffufixError, PrerequisiteError, UsageError
from diffufix.registry.cards import CARD, Card, read_card, readme

FILES = ["*.json", "*.txt", "*.safetensors", "*.jinja", "README.md"]


def push(folder: Path, repository: str, *, private: bool = True) -> str:
    """Put the folder's files into a model repository, made if it is missing; returns its address.

    Raises UsageError (no such form of name) and PrerequisiteError (no network, no right).
    """
    _check(repository)
    return str(_ask(f"{repository} cannot be written", _push, folder, repository, private))


def pull(repository: str, folder: Path, revision: str | None = None) -> str:
    """Fetch a model repository's files into the folder; returns the commit that was fetched.

    Raises UsageError (no such form of name) and PrerequisiteError (no such repository, no
    network).
    """
    _check(repository)
    return str(_ask(f"{repository} cannot be fetched", _pull, repository, folder, revision))


def copy_for_others(folder: Path, target: Path, card: Card) -> None:
    """The model's files, with a card that names no folder of this machine."""
    shutil.copytree(folder, target)
    public = replace(card, base_name=_public(card.base_name))
    (target / CARD).write_text(json.dumps(public.document(), indent=2) + "\n", "utf-8")
    (target / "README.md").write_text(readme(public), "utf-8")
    config = target / "adapter_config.json"
    if config.is_file():
        values = json.loads(config.read_text("utf-8"))
        values["base_model_name_or_path"] = public.base_name
        config.write_text(json.dumps(values, indent=2) + "\n", "utf-8")


def card_of(folder: Path, name: str, source: str, base: Callable[[], tuple[str, str]]) -> Card:
    """The card that came along, or one for weights that have none; `base` says the name and
    fingerprint of the model that these stand on. Raises CheckpointError."""
    from diffufix.model.checkpoint import fingerprint_of
    from diffufix.model.files import shards
    from diffufix.model.weights import Adapter

    lora = (folder / "adapter_config.json").is_file()
    if lora:
        Adapter(folder)  # raises where it is none, or more than plain LoRA
    elif (folder / "config.json").is_file():
        shards(folder)
    else:
        raise CheckpointError(
            f"{source} holds neither an adapter nor a checkpoint.",
            "An adapter has adapter_config.json, a checkpoint config.json.",
        )
    if (folder / CARD).is_file():
        return replace(read_card(folder), name=name, source=source)
    base_name, base_fingerprint = base()
    return Card(
        name, "lora" if lora else "full", base_fingerprint, base_name, source=source,
        fingerprint="" if lora else fingerprint_of(folder),
    )  # fmt: skip


def take(incoming: Path, folder: Path) -> None:
    """Copy what came along, files of the top only."""
    for path in incoming.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def _public(name: str) -> str:
    return Path(name).name if Path(name).expanduser().is_dir() else name


def _push(folder: Path, repository: str, private: bool) -> str:
    from huggingface_hub import HfApi

    api = HfApi(library_name="diffufix")
    address = api.create_repo(repository, private=private, exist_ok=True)
    api.upload_folder(
        repo_id=repository, folder_path=folder, allow_patterns=FILES,
        commit_message=f"{folder.name}, by diffufix",
    )  # fmt: skip
    return str(address)


def _pull(repository: str, folder: Path, revision: str | None) -> str:
    from huggingface_hub import HfApi, snapshot_download

    found = HfApi(library_name="diffufix").model_info(repository, revision=revision).sha
    snapshot_download(repository, revision=found, local_dir=folder, allow_patterns=FILES)
    return str(found)


def _ask(failure: str, call: Callable[..., Any], *args: Any) -> Any:
    try:
        return call(*args)
    except DiffufixError:
        raise
    except Exception as error:  # the HTTP client's errors differ from version to version
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise PrerequisiteError(
            f"{failure}: {reason}",
            "Check the name, the network and the token (`hf auth login` or HF_TOKEN).",
        ) from error


def _check(repository: str) -> None:
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise UsageError(f"{repository!r} is no repository of the hub.", "Give it as OWNER/NAME.")
