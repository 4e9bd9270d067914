"""The page of a run: one self-contained HTML file, made from the log alone (`page`).

Failing tests, suspects over their source, the search as a picture, the patch and how it was
denoised, the patches that could be chosen instead. No script, nothing fetched, inline SVG; light
and dark; `style.css` and `page.html` beside this file are what it is made of.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

import diffufix
from diffufix.report.page.facts import PageFacts, facts_of
from diffufix.store import Store

HERE = Path(__file__).parent


def page(store: Store, run: int) -> str:
    """The page of a run. Raises UsageError where there is none with that number, StoreError."""
    return rendered(facts_of(store, run))


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
    parts = (escape(part) for part in text.split("`"))
    return Markup().join(
        Markup("<code>{}</code>").format(part) if inside else part
        for inside, part in zip(cycle((False, True)), parts, strict=False)
    )
