"""A small repair done here and now: that it works, and how many fills and verdicts a second."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from diffufix.config import Settings
from diffufix.doctor.check import Health, HealthCheck
from diffufix.doctor.sandboxes import built_image
from diffufix.events import Event
from diffufix.repair.types import Status
from diffufix.sandbox.reap import scratch_prefix

BUDGET = 90.0  # seconds
SLOW = 2.0  # verdicts a second below which a minute does not reach far
_BUSY = "Is the machine busy? More cores, or a higher --budget, help."
#: The fault is in `longest`; three tests say so.
_FILES = {
    "pyproject.toml": '[project]\nname = "probe"\nversion = "0"\n',
    "probe.py": (
        "def longest(words):\n"
        '    """The longest word, the first of several."""\n'
        "    best = words[0]\n"
        "    for word in words:\n"
        "        if len(word) < len(best):\n"
        "            best = word\n"
        "    return best\n"
    ),
    "test_probe.py": (
        "from probe import longest\n\n\n"
        "def test_last():\n    assert longest(['a', 'bb', 'ccc']) == 'ccc'\n\n\n"
        "def test_middle():\n    assert longest(['a', 'bbb', 'cc']) == 'bbb'\n\n\n"
        "def test_first_of_equals():\n    assert longest(['aa', 'bb', 'c']) == 'aa'\n\n\n"
        "def test_one():\n    assert longest(['a']) == 'a'\n"
    ),
}


def repair(settings: Settings) -> HealthCheck:
    """Repair a project of one function with the model and the sandbox that are set."""
    from diffufix.repair import loop

    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
        root = Path(folder)
        for name, text in _FILES.items():
            (root / name).write_text(text)
        trial = replace(
            settings, root=root, folder="", pytest_args=(), function="", budget=BUDGET, all=True,
            candidates=120, collect=False, expect=(), apply=False, fresh=True,
            image=_image(settings), dockerfile="", python="", accept="plausible",
        )  # fmt: skip
        result = loop.repair(trial, _deaf)
    searched = result.phases.get("searching", 0.0) or 1e-9
    fills, verdicts = result.generated / searched, result.tried / searched
    data = {"fills_per_second": round(fills, 1), "verdicts_per_second": round(verdicts, 1),
            "seconds": round(result.seconds, 1), "model": result.model,
            "status": str(result.status)}  # fmt: skip
    speed = f"{fills:,.0f} fills and {verdicts:,.0f} verdicts a second with {result.model}"
    if not result.tried:
        spent = result.phases.get("running the tests", 0.0)
        return HealthCheck(
            "a small repair", Health.WARNING,
            f"none was tried: four tests took {spent:.0f} s to run", _BUSY, data=data,
        )  # fmt: skip
    if result.patch is None:
        state = Health.WARNING if result.status is Status.NOT_REPAIRED else Health.ERROR
        found = f"a small repair was not found: {result.message} ({speed})"
        return HealthCheck("a small repair", state, found, result.hint, data=data)
    if verdicts < SLOW:
        return HealthCheck("a small repair", Health.WARNING, f"found; {speed}", _BUSY, data=data)
    return HealthCheck("a small repair", Health.OK, f"found; {speed}", data=data)


def _image(settings: Settings) -> str:
    """The project's own, where that is built: one for the trial would have to be made first."""
    if settings.sandbox not in ("auto", "docker"):
        return settings.image
    return built_image(settings)


def _deaf(event: Event) -> None:
    """Nothing of the trial is shown."""
