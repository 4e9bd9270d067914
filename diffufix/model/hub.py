"""From what the user called a model to a folder on disk. May download, after saying so.

A local folder wins, then `mini` inside the package, then the Hugging Face cache, then the hub.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from diffufix.errors import CheckpointError, DiffufixError, PrerequisiteError
from diffufix.model.weights import shards

MINI = "mini"
LARGE = "apple/DiffuCoder-7B-cpGRPO"
_LICENCES = {
    "apple": "Apple's research licence (apple-amlr): research use only",
    "dream-org": "Apache-2.0",
}
_PATTERNS = ["*.json", "*.txt", "*.safetensors", "*.jinja"]


def default_model() -> str:
    """`mini` where there is no CUDA device, the 7B model where there is one."""
    import torch

    return LARGE if torch.cuda.is_available() else MINI


def _stderr(line: str) -> None:
    print(line, file=sys.stderr)


def locate(name: str | Path, notify: Callable[[str], None] = _stderr) -> Path:
    """The folder of a checkpoint. `mini` is always the embedded one, `./mini` a folder.

    Raises CheckpointError for a folder without config.json, PrerequisiteError for a checkpoint
    that is neither here nor reachable. `notify` is told of a download and of its licence.
    """
    if name == MINI:
        return _embedded()
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CheckpointError(
                f"{folder} is no checkpoint: it has no config.json.",
                "Name the folder that holds config.json and the weights.",
            )
        return folder
    text = str(name)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text) and not text.startswith("."):
        return _from_hub(text, notify)
    raise PrerequisiteError(
        f"There is no model {text!r}.",
        f"Name a checkpoint folder, `{MINI}`, or a hub id such as {LARGE}.",
    )


def _embedded() -> Path:
    from importlib.resources import files

    folder = Path(str(files("diffufix.model"))) / MINI
    if not (folder / "config.json").is_file():
        raise PrerequisiteError(
            "This installation lacks the embedded model `mini`.",
            "Reinstall diffufix, or name a checkpoint with --model.",
        )
    return folder


def _from_hub(name: str, notify: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=_PATTERNS, local_files_only=True))
        if (folder / "config.json").is_file() and shards(folder):
            return folder
    except (OSError, ValueError, DiffufixError):
        pass  # not in the cache, or only a part of it
    owner = name.split("/")[0].lower()
    licence = _LICENCES.get(owner, "its own licence: see its model card")
    notify(f"Downloading {name} from the Hugging Face hub (about 15 GB for a 7B model).")
    notify(f"Its weights are under {licence}.")
    try:
        return Path(snapshot_download(name, allow_patterns=_PATTERNS))
    except Exception as error:  # the HTTP client's errors differ from version to version
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise PrerequisiteError(
            f"The checkpoint {name} is not in the local cache and cannot be downloaded: {reason}",
            f"Use `--model {MINI}`, a checkpoint folder, or check the name and the network "
            "(HF_TOKEN, HF_HUB_OFFLINE).",
        ) from error
