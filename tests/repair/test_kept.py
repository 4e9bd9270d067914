"""Patches that the log kept, made anew for the files as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from diffufix.errors import ApplyError, UsageError
from diffufix.repair.apply import apply, undo
from diffufix.repair.kept import kept_patch
from diffufix.repair.types import Offer
from diffufix.source.file import SourceFile
from diffufix.source.patch import make_patch

TEXT = "def f(a):\r\n    return a - 1  # ü\r\n"


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "m.py").write_bytes(TEXT.encode())
    source = SourceFile.read(tmp_path / "m.py")
    place = TEXT.index("- 1")
    offers = []
    for number, text in enumerate(("+ 1", "* 1"), 1):
        patch = make_patch({"m.py": source}, {"m.py": TEXT.replace("- 1", text)})
        spans = (("m.py", place, place + 3, text),)
        offers.append(Offer(number, patch, 0.5, confirmed=number == 1, spans=spans))
    # as the log gives it back
    return json.loads(json.dumps({"patches": [offer.document() for offer in offers]}))


def test_any_of_the_patches_can_be_written_and_taken_back(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    kept = kept_patch(summary, tmp_path, 3, 2)
    assert not kept.confirmed
    assert apply(kept.patch, tmp_path, 3) == ("m.py",)
    assert (tmp_path / "m.py").read_bytes() == TEXT.replace("- 1", "* 1").encode()
    undo(tmp_path, 3)
    assert (tmp_path / "m.py").read_bytes() == TEXT.encode()


def test_a_file_that_has_changed_is_left_alone(summary: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("x = 1\n")
    with pytest.raises(ApplyError, match=r"m\.py is not as it was in run 3") as caught:
        kept_patch(summary, tmp_path, 3, 1)
    assert "undo" in caught.value.hint


@pytest.mark.parametrize("told", [{}, {"patches": []}, None])
def test_a_number_that_the_run_does_not_have(
    summary: dict[str, Any], tmp_path: Path, told: dict[str, Any] | None
) -> None:
    with pytest.raises(UsageError, match="Run 3 has no patch 9") as caught:
        kept_patch(summary if told is None else told, tmp_path, 3, 9)
    assert ("1 to 2" in caught.value.hint) == (told is None)
