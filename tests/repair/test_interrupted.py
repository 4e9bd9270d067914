"""Ctrl-C: the first confirms what was found, the second keeps it unconfirmed, to be applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffufix import events
from diffufix.cli import main
from diffufix.repair.confirmation import Confirmation
from diffufix.repair.types import Status
from tests.support.scripted import repair

FILES = {
    "pyproject.toml": "",
    "m.py": "def add(a, b):\n    return a - b\n",
    "test_m.py": "from m import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n",
}
SCRIPT = [("a - b", "a + b"), 1.0, KeyboardInterrupt()]


@pytest.mark.slow
def test_the_first_one_confirms_what_was_found(tmp_path: Path) -> None:
    result, told = repair(tmp_path, FILES, SCRIPT)
    assert result.status is Status.INTERRUPTED
    assert result.patch is not None
    assert result.turned_green == ("test_m.py::test_add",)
    said = [e.text for e in told.events if isinstance(e, events.Stage)]
    assert any("confirming what was found (Ctrl-C again ends at once)" in text for text in said)


@pytest.mark.slow
def test_the_second_one_keeps_it_unconfirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def stopped(self: Confirmation, accepted: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Confirmation, "choose", stopped)
    result, _ = repair(tmp_path, FILES, SCRIPT)
    assert (result.status, result.patch) == (Status.INTERRUPTED, None)
    assert "`diffufix apply` writes it" in result.hint
    (offer,) = result.offers
    assert (offer.confirmed, offer.probability) == (False, 0.0)
    assert offer.words == (
        "turns 1 of 1 test green in the search; it was not run over the whole suite",
    )
    monkeypatch.chdir(tmp_path)
    assert main(["apply"]) == 0
    assert "This patch is not confirmed: run the whole suite" in capsys.readouterr().err
    assert "return a + b" in (tmp_path / "m.py").read_text()
