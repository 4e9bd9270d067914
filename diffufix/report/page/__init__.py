"""The page of a run: one self-contained HTML file, made from the log alone (`page`).

Failing tests, suspects over their source, the search as a picture, the patch and how it was
denoised, the patches that could be chosen instead. No script, nothing fetched, inline SVG; light
and dark; `style.css` and `page.html` beside this file are what it is made of.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffufix
from diffufix.errors import StoreError, UsageError
from diffufix.store import Store

if TYPE_CHECKING:
    from markupsafe import Markup

    from diffufix.report.page.facts import PageFacts

HERE = Path(__file__).parent


def page(store: Store, run: int) -> str:
    """The page of a run. Raises UsageError where there is none with that number, StoreError."""
    from diffufix.report.page.facts import facts_of  # of no use to other commands

    return rendered(facts_of(store, run))


def check_place(path: Path) -> None:
    """Raises UsageError where no page can be written, before a search that it is to tell of."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a folder" if path.is_dir() else "lies in no folder that there is"
        raise UsageError(f"{path} {what}.", "Name a file for the page, such as report.html.")


def write_page(root: Path, run: int | None, path: Path) -> None:
    """Write the page of a run in this project's log. Raises UsageError, StoreError."""
    if run is None:
        raise StoreError("This run is in no log, so there is no page of it.")
    with Store.open_strictly(root, create=False) as store:
        made = page(store, run)
    try:
        path.write_text(made, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.",
            f"`diffufix runs show {run} --html FILE` writes it elsewhere.",
        ) from error


def rendered(facts: PageFacts) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "commas": commas, "ticked": ticked}
    style = (HERE / "style.css").read_text("utf-8")
    return environment.get_template("page.html").render(
        facts=facts, style=style, version=diffufix.__version__
    )


def percent(value: Any) -> str:
    return f"{float(value):.0%}"


def commas(value: Any) -> str:
    return f"{value:,}"


def ticked(text: str) -> Markup:
    """What stands between backticks as code."""
    from markupsafe import Markup, escape

    parts = (escape(part) for part in text.split("`"))
    return Markup().join(
        Markup("<code>{}</code>").format(part) if inside else part
        for inside, part in zip(cycle((False, True)), parts, strict=False)
    )
