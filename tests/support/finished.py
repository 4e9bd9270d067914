"""A repair that has ended: what the command line does with it is real, the search is not."""

from __future__ import annotations

from diffufix import events
from diffufix.config import Settings
from diffufix.repair.types import RepairResult, Status
from diffufix.source.patch import make_patch
from diffufix.store import Store
from diffufix.types import Claims, State, Verdict

BROKEN, MENDED = "def one():\n    return 2\n", "def one():\n    return 1\n"


def repaired(settings: Settings, listener: events.Listener) -> RepairResult:
    """A search that finds the patch at once; what the command line does with it is real."""
    listener(events.Stage("searching"))
    with Store.open(settings.root) as store:
        run = store.begin_run(settings)
        candidate = store.add_candidate(run, None, "k")
        store.add_verdict(candidate, Verdict(State.PASS))
        result = RepairResult(
            Status.REPAIRED,
            patch=make_patch({"m.py": BROKEN}, {"m.py": MENDED}),
            turned_green=("test_m.py::test_one",),
            claims=Claims(
                turned_green=("test_m.py::test_one",),
                kept=("test_m.py::test_two", "test_m.py::test_three"),
                runs=("own order, hash seed 0", "own order, hash seed 1"),
            ),
            tests=3,
            tried=1,
            generated=1,
            seconds=1.25,
            states={"pass": 1},
            model="mini",
            model_hash="0123456789",
            run_id=run,
        )
        store.finish_run(run, result.status, result.document())
    return result
