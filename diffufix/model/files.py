"""The files of a checkpoint folder: which there are, and JSON among them. Reads; no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffufix.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "Fetch it again.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}", "Fetch it again.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object.", "Fetch it again.")
    return value


def shards(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder, all present. Raises CheckpointError."""
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise CheckpointError(
                f"{folder} lacks {len(missing)} of {len(names)} weight files"
                + (f": {', '.join(missing)}." if missing else "."),
                "Finish the download of the checkpoint.",
            )
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    hint = f"A checkpoint folder holds {SINGLE}, or shards with {INDEX}."
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        hint += " Pickled weights are not read: convert them to safetensors."
    raise CheckpointError(f"{folder} holds no weights.", hint)
