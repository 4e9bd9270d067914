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
    if settings.model or settings.device == "cpu" or not _may_have_gpu():
        return settings
    from diffufix.model import hub  # and torch: only where there may be something to decide

    def consent(offer: hub.Download) -> bool:
        return agreed(offer, yes=settings.yes, ask=not settings.json)

    choice = hub.decide(settings.device, consent)
    return replace(settings, model=choice.name, model_note=choice.note)


def agreed(offer: object, *, yes: bool, ask: bool = True) -> bool:
    """Whether a download is wanted: `--yes`, what was answered before, or what is answered now."""
    from diffufix.model import hub

    assert isinstance(offer, hub.Download)
    if yes:
        hub.remember(offer.name, True)
        return True
    before = hub.remembered(offer.name)
    if before is not None:
        return before
    if not ask or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    size = f"{offer.bytes / 1e9:.1f} GB" if offer.bytes else "of unknown size"
    print(
        f"{offer.name} suits this machine: {size} to download, under {offer.licence}.",
        file=sys.stderr,
    )
    print("Download it? Without it, mini is used. [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().lower() in ("y", "yes")
    hub.remember(offer.name, answer)
    return answer


def _may_have_gpu() -> bool:
    """Without asking PyTorch, which takes a second to start."""
    if "torch" in sys.modules:
        return True
    found = any(Path(device).exists() for device in _DEVICES) or os.name == "nt"
    return found or shutil.which("nvidia-smi") is not None
