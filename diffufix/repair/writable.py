"""Whether a patch could be written where it is looked for. Asked before the search, which takes
minutes; `apply.py` and `commit.py` ask again when the patch is there. Reads the repository only.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffufix.config import Settings
from diffufix.errors import ApplyError
from diffufix.source.repository import uncommitted

SHOWN = 3  # files named in a warning


def refused(settings: Settings, paths: Sequence[str]) -> str:
    """A warning that a patch of some of these files would not be written; "" where any would be.

    Raises ApplyError where none would be: all have changes that are not committed.
    """
    if not settings.commit and (not settings.apply or settings.force):
        return ""
    dirty = uncommitted(settings.root, paths)
    if not dirty:
        return ""
    named = ", ".join(dirty[:SHOWN]) + (f" and {len(dirty) - SHOWN} more" * (len(dirty) > SHOWN))
    have = "has" if len(dirty) == 1 else "have"
    told = f"{named} {have} changes that are not committed"
    if len(dirty) < len(set(paths)):
        return f"{told}: a patch there is kept, but not written"
    way = "" if settings.commit else ", or repeat with --force to write over them"
    raise ApplyError(
        f"{told}, so no patch would be written. Nothing was searched.",
        f"Commit or stash them{way}; without --apply, --commit and --branch patches are shown.",
    )
