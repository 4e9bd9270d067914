"""Before a run: which model it uses, and whether what that needs may be downloaded. Asks once.

Without a named model a machine with a CUDA device is offered the large one. The question goes to
the terminal; where there is none, or `--json` is on, nothing is downloaded and `mini` is used.
The answer is kept, so that nobody is asked twice; `--yes` agrees without a question.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from diffufix.config import Settings

_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")


def settled(settings: Settings) -> Settings:
    """The settings with a model; where it is not the one that suits the machine, with a note."""
    if settings.model:
        _licensed(settings)
        return settings
    if settings.device == "cpu" or not may_have_gpu():
        return settings
    from diffufix.model import hub  # and torch: only where there may be something to decide

    def consent(offer: hub.Download) -> bool:
        return agreed(offer, yes=settings.yes, ask=not settings.json)

    choice = hub.decide(settings.device, consent)
    return replace(settings, model=choice.name, model_note=choice.note)


def agreed(offer: object, *, yes: bool, ask: bool = True, named: bool = False) -> bool:
    """Whether a download is wanted: `--yes`, what was answered before, or what is answered now.
    `named`: the user named it, so a no of before is asked about again."""
    from diffufix.model import hub, remembered

    assert isinstance(offer, hub.Download)
    if yes:
        remembered.keep_answer(offer.name, True)
        return True
    before = remembered.answered(offer.name)
    if before or (before is not None and not named):
        return before
    if not ask or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    size = f"{offer.bytes / 1e9:.1f} GB" if offer.bytes else "of unknown size"
    said = "is" if named else "suits this machine:"
    print(f"{offer.name} {said} {size} to download, under {offer.licence}.", file=sys.stderr)
    without = "" if named else " Without it, mini is used."
    print(f"Download it?{without} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().lower() in ("y", "yes")
    remembered.keep_answer(offer.name, answer)
    return answer


def _licensed(settings: Settings) -> None:
    """Ask about a named model's licence where it has to be accepted before a download."""
    from diffufix.model.families import repository

    for name in settings.model.split(","):
        known = repository(name.strip())
        if known is None or not known.restricted or Path(name).expanduser().is_dir():
            continue
        from diffufix.model import hub

        if hub.in_cache(known.id) is None:
            agreed(hub.offer_of(known.id), yes=settings.yes, ask=not settings.json, named=True)


def may_have_gpu() -> bool:
    """Without asking PyTorch, which takes a second to start."""
    if "torch" in sys.modules:
        return True
    found = any(Path(device).exists() for device in _DEVICES) or os.name == "nt"
    return found or shutil.which("nvidia-smi") is not None
