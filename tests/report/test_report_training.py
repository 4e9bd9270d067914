"""The report of a training: complete, alone, and there whatever the log looks like."""

from __future__ import annotations

import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from diffufix.report.training import HTML, PANELS, PNG, Facts, read_rows, smoothed, write_report

FACTS = Facts(
    "shop-1 <b>", ["coupled on 12 tasks."], ["pass@1  20.0% -> 40.0%"], {"lr": 1e-4},
    {"groups": 1200}, ["diffufix models rollback"],
)  # fmt: skip


def log(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


class Page(HTMLParser):
    """Checks that every tag is closed, and gathers text and what would be fetched."""

    void = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append(tag)
        if tag not in self.void:
            self.open.append(tag)
        self.fetched += [
            value for key, value in attrs
            if key in ("src", "href", "xlink:href") and not value.startswith("#")
        ]  # fmt: skip

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_everything_is_on_the_page_and_nothing_is_fetched(tmp_path: Path) -> None:
    keys = [key for panel in PANELS for key in panel.curves]
    log(tmp_path, [{"step": s, **dict.fromkeys(keys, s / 7)} for s in range(1, 61)])
    assert write_report(tmp_path, FACTS) == [tmp_path / HTML, tmp_path / PNG]
    text = (tmp_path / HTML).read_text()
    page = Page(text)
    words = "".join(page.words)
    for wanted in ("shop-1 <b>", "20.0% -> 40.0%", "1,200", "0.0001", "models rollback"):
        assert wanted in words
    for panel in PANELS:
        assert panel.title in words
    assert page.fetched == []
    assert not {"script", "img", "link"} & set(page.tags)
    assert "svg" in page.tags
    assert (tmp_path / PNG).read_bytes().startswith(b"\x89PNG")
    assert not re.search(r"url\((?!#)", text)


def test_the_same_log_gives_the_same_report(tmp_path: Path) -> None:
    log(tmp_path, [{"step": s, "reward": s} for s in range(5)])
    write_report(tmp_path, FACTS)
    before = (tmp_path / HTML).read_bytes()
    write_report(tmp_path, FACTS)
    assert (tmp_path / HTML).read_bytes() == before


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 1, "reward": 0.5}],
        [{"step": 1, "reward": math.nan, "kl": None}, {"step": 2, "reward": 0.0}],
        [{"step": s, "loss": -1.0, "clip_ratio": 0.0} for s in range(3)],
    ],
    ids=["empty", "one row", "holes", "constant"],
)
def test_short_and_odd_logs(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    log(tmp_path, rows)
    assert tmp_path / HTML in write_report(tmp_path, FACTS)
    Page((tmp_path / HTML).read_text())


def test_without_a_log(tmp_path: Path) -> None:
    assert write_report(tmp_path, FACTS) == [tmp_path / HTML]


def test_rows_cut_short_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2}\n[]\n{"step": 2, "lo')
    assert read_rows(tmp_path / "log.jsonl") == [{"step": 1, "loss": 2}]


def test_without_matplotlib_the_figures_remain(tmp_path: Path, monkeypatch) -> None:
    log(tmp_path, [{"step": s, "reward": 0.25} for s in range(3)])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert write_report(tmp_path, FACTS) == [tmp_path / HTML]
    words = "".join(Page((tmp_path / HTML).read_text()).words)
    assert "matplotlib is missing" in words
    assert "0.25" in words


def test_smoothing_keeps_length_and_level() -> None:
    assert smoothed([1.0, 2.0, 3.0, 4.0], 1) == [1.5, 2.0, 3.0, 3.5]
    assert smoothed([1.0, 5.0], 0) == [1.0, 5.0]
