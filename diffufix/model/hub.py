"""From what the user called a model to a folder on disk. May download, never unasked.

A local folder wins, then `mini` inside the package, then the Hugging Face cache, then the hub.
Where no model is named, `decide` says which one: the large one on a machine with a CUDA device
that holds it, if it is there or the user agrees to fetch it; `mini` everywhere else, and why.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffufix.errors import CheckpointError, DiffufixError, PrerequisiteError
from diffufix.model.families import needed, repository
from diffufix.model.files import shards
from diffufix.model.remembered import answered, pin, pinned

MINI = "mini"
LARGE = "apple/DiffuCoder-7B-cpGRPO"
_PATTERNS = ["*.json", "*.txt", "*.safetensors", "*.jinja"]


def default_model() -> str:
    """What suits the machine: `mini`, or the 7B model where there is a CUDA device."""
    import torch

    return LARGE if torch.cuda.is_available() else MINI


# -- which model, where none is named --------------------------------------------------------------


@dataclass(frozen=True)
class Download:
    """A download that the user may agree to."""

    name: str
    bytes: int  # 0: not known
    licence: str
    restricted: bool = False  # the licence has to be accepted

    def lines(self) -> tuple[str, str]:
        size = f" (about {self.bytes / 1e9:.1f} GB)" if self.bytes else ""
        return (
            f"Downloading {self.name} from the Hugging Face hub{size}.",
            f"Its weights are under {self.licence}.",
        )


Consent = Callable[[Download], bool]


@dataclass(frozen=True)
class ModelChoice:
    """A model by name, and one line on why it is not the one that suits the machine."""

    name: str
    note: str = ""


def never(offer: Download) -> bool:
    """The consent of a process that can ask nobody."""
    return False


def offer_of(name: str) -> Download:
    known = repository(name)
    if known is None:
        return Download(name, 0, "its own licence: see its model card")
    return Download(known.id, known.bytes, known.licence, known.restricted)


def decide(device: str = "auto", consent: Consent = never) -> ModelChoice:
    """Which model a run uses that names none. May download, where `consent` agrees."""
    if device == "cpu" or default_model() == MINI:
        return ModelChoice(MINI)
    offer = offer_of(LARGE)
    reason = _too_large(offer, device)
    if not reason and in_cache(LARGE) is None:
        if not consent(offer):
            reason = f"{LARGE} is not here and was not to be downloaded"
        else:
            try:
                fetch(LARGE, accepted=True)
            except DiffufixError as error:
                reason = error.message.rstrip(".")
    return ModelChoice(MINI, f"mini is used: {reason}") if reason else ModelChoice(LARGE)


def _too_large(offer: Download, device: str) -> str:
    import torch

    from diffufix.model.devices import free_memory

    free = free_memory(torch.device("cuda" if device == "auto" else device))
    need = needed(offer.bytes)
    if free is None:
        return f"{offer.name} needs {need / 1e9:.0f} GB, and the GPU does not say what it has"
    if free < need:
        return f"{offer.name} needs {need / 1e9:.0f} GB, the GPU has {free / 1e9:.1f} GB free"
    return ""


# -- where a model is ------------------------------------------------------------------------------


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
    if is_hub_id(text):
        return fetch(text, notify)[0]
    raise PrerequisiteError(
        f"There is no model {text!r}.",
        f"Name a checkpoint folder, `{MINI}`, or a hub id such as {LARGE}.",
    )


def is_hub_id(name: str) -> bool:
    """Whether it has the form OWNER/NAME and is no folder here."""
    shaped = re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not name.startswith(".")
    return shaped and not Path(name).expanduser().is_dir()


def _embedded() -> Path:
    from importlib.resources import files

    folder = Path(str(files("diffufix.model"))) / MINI
    if not (folder / "config.json").is_file():
        raise PrerequisiteError(
            "This installation lacks the embedded model `mini`.",
            "Reinstall diffufix, or name a checkpoint with --model.",
        )
    return folder


def lacking(folder: Path) -> str:
    """What a downloaded checkpoint lacks, in words; empty where it is complete."""
    if not (folder / "config.json").is_file():
        return "config.json"
    try:
        shards(folder)
    except DiffufixError as error:
        return error.message
    parts = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    return "" if parts or (folder / "tokenizer.json").is_file() else "its tokenizer files"


def in_cache(name: str, revision: str | None = None) -> Path | None:
    """The complete snapshot of a hub id in the local cache; None: not there, or only a part.

    Without a revision it is the one that was fetched before, whatever its branch says now.
    """
    from huggingface_hub import snapshot_download

    revision = revision or pinned(name)
    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=_PATTERNS, local_files_only=True
            )
        )
    except (OSError, ValueError):
        return None
    return None if lacking(folder) else folder


def fetch(
    name: str,
    notify: Callable[[str], None] = _stderr,
    revision: str | None = None,
    accepted: bool = False,
) -> tuple[Path, str]:
    """The checkpoint's folder in the cache and its commit, downloaded where it is not there.
    `accepted`: the user has accepted its licence just now.

    A download that was cut off goes on where it ended. The commit is kept: later runs use it.
    Raises PrerequisiteError (no such repository or revision, no network, no room).
    """
    from huggingface_hub import HfApi, snapshot_download

    revision = revision or pinned(name)
    folder = in_cache(name, revision)
    if folder is None:
        offer = offer_of(name)
        known = accepted or answered(offer.name) or _partial(name) is not None
        if offer.restricted and not known:
            raise PrerequisiteError(
                f"{offer.name} is under {offer.licence}, which was not accepted here.",
                f"`diffufix models pull {offer.name}` shows it and asks once; --yes accepts it.",
            )
        for line in offer.lines():
            notify(line)
        _check_room(offer)
        try:
            commit = str(HfApi(library_name="diffufix").model_info(name, revision=revision).sha)
            folder = Path(snapshot_download(name, revision=commit, allow_patterns=_PATTERNS))
        except Exception as error:  # the HTTP client's errors differ from version to version
            raise _unreachable(name, error) from error
        if missing := lacking(folder):
            raise CheckpointError(
                f"{name} is no checkpoint that can be used: it lacks {missing}.",
                "A checkpoint has config.json, safetensors and tokenizer files.",
            )
    pin(name, folder.name)
    return folder, folder.name


def _unreachable(name: str, error: Exception) -> PrerequisiteError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    part = _partial(name)
    if part is not None and (missing := lacking(part)):
        said = missing if missing[0].isupper() else f"it lacks {missing}"
        return PrerequisiteError(
            f"The local copy of {name} is not complete, and the rest cannot be downloaded: {said}",
            "Run it once with a network: what is missing is fetched then.",
        )
    return PrerequisiteError(
        f"The checkpoint {name} is not in the local cache and cannot be downloaded: {reason}",
        f"Use `--model {MINI}`, a checkpoint folder, or check the name and the network "
        "(HF_TOKEN, HF_HUB_OFFLINE).",
    )


def _partial(name: str) -> Path | None:
    """What there is of it in the cache, complete or not."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=pinned(name), local_files_only=True))
    except (OSError, ValueError):
        return None


def _check_room(offer: Download) -> None:
    """Raises PrerequisiteError where the disk of the cache has no room for the weights."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    while not cache.exists() and cache != cache.parent:
        cache = cache.parent
    free = shutil.disk_usage(cache).free
    if free < offer.bytes:
        raise PrerequisiteError(
            f"{offer.name} takes {offer.bytes / 1e9:.1f} GB, the disk of the Hugging Face cache "
            f"has {free / 1e9:.1f} GB free.",
            "Make room, or point HF_HOME to another disk.",
        )
