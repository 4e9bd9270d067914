"""Published checkpoints as text: a table of all, and the facts of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffufix.registry.checkpoints import PublishedCheckpoint

_HEAD = ("checkpoint (--model)", "size", "download", "memory", "state", "licence")


def checkpoint_lines(known: Sequence[PublishedCheckpoint]) -> Iterator[str]:
    """One line each, under a head."""
    rows = [_HEAD, *(_row(each) for each in known)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    for row in rows:
        yield "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def _row(each: PublishedCheckpoint) -> tuple[str, ...]:
    return (
        each.name,
        _parameters(each.parameters),
        f"{each.download / 1e9:.1f} GB" if each.download else "-",
        f"{each.memory / 1e9:.1f} GB",
        each.state + (", writes" if each.block else ""),
        each.licence.partition(":")[0],
    )


def _parameters(count: int) -> str:
    return f"{count / 1e9:.1f} B" if count >= 1e8 else f"{count / 1e6:.1f} M"


def facts_of(known: PublishedCheckpoint) -> dict[str, str]:
    """What there is to say of one, in words."""
    agreed = "accepted" if known.accepted else "to be accepted before a download"
    facts = {
        "state": known.state,
        "use": f"generate and chat, in blocks of {known.block} tokens; it fills no holes"
        if known.block
        else "",
        "family": known.family,
        "parameters": f"{known.parameters:,}",
        "download": f"{known.download / 1e9:.2f} GB" if known.download else "none",
        "memory": f"about {known.memory / 1e9:.1f} GB with bfloat16 weights"
        + ("" if known.fits else "; more than is free here now"),
        "licence": f"{known.licence} ({agreed})" if known.restricted else known.licence,
        "revision": known.revision or "none yet: the newest when it is pulled, kept from then on",
        "folder": str(known.folder or "not here"),
    }
    return {key: value for key, value in facts.items() if value}
