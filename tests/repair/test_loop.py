"""The loop with a proposer that follows a script: real projects, real sandboxes, no sampling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diffufix import events
from diffufix.errors import ApplyError, TooLate
from diffufix.repair.round_robin import RoundRobin
from diffufix.repair.steps import makers
from diffufix.repair.types import Status
from diffufix.testing import fresh_copy
from diffufix.verify.trials import Trials
from diffufix.workspace import diagnosis
from tests.support.scripted import repair

SHOP = """\
def price(items):
    total = 0
    for count, each in items:
        total += count + each
    return total


def label(name):
    return name.strip()
"""
TESTS = """\
from shop import label, price


def test_price():
    assert price([(2, 3)]) == 6
    assert price([(4, 1)]) == 4


def test_nothing():
    assert price([]) == 0


def test_label():
    assert label(" tea ") == "tea"
"""
PLAIN = {"shop.py": SHOP, "test_shop.py": TESTS}


RIGHT = ("count + each", "count * each")


def test_from_a_failing_test_to_a_patch(tmp_path: Path) -> None:
    script = [("count + each", "count - each"), ("count + each", "count / each"), RIGHT]
    result, told = repair(tmp_path, PLAIN, script)
    assert result.status is Status.REPAIRED, result
    assert result.patch is not None
    assert "+        total += count * each" in result.patch.diff
    assert result.turned_green == ("test_shop.py::test_price",)
    assert result.claims is not None
    assert result.claims.kept == ("test_shop.py::test_nothing", "test_shop.py::test_label")
    assert len(result.claims.runs) == 4
    assert (result.tried, result.generated) == (3, 3)
    assert list(result.phases) == [
        "copying the project", "running the tests", "running them with coverage",
        "loading the model", "starting the sandboxes", "comparing sandbox and baseline",
        "searching", "confirming", "logging to learn from",
    ]  # fmt: skip
    assert sum(result.phases.values()) <= result.seconds
    kinds = [type(event) for event in told.events]
    assert kinds.index(events.TestsRan) < kinds.index(events.Localized)
    assert kinds.index(events.Found) < kinds.index(events.Confirming)
    assert kinds[-1] is events.Finished
    assert (tmp_path / "shop.py").read_text() == SHOP


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([], "No candidate could be made"),
        ([("count + each", "count - each"), ("0", "1")], "Tried 2 candidates"),
        ([("count + each", "unknown(")], "None of 1 sample made a program"),
        ([("count + each", "eval('count * each')")], "The only candidate was refused"),
    ],
    ids=["no hole", "wrong", "no program", "refused"],
)
def test_why_nothing_was_repaired(tmp_path: Path, script: list[Any], said: str) -> None:
    result, _ = repair(tmp_path, PLAIN, script)
    assert result.status is Status.NOT_REPAIRED
    assert said in result.message
    assert result.hint
    assert result.patch is None


def test_green_in_the_screen_and_not_in_the_whole_suite(tmp_path: Path) -> None:
    other = "import sys\n\n\ndef test_source():\n    text = open('shop.py').read()\n"
    other += "    assert 'count * each' not in text\n"
    result, _ = repair(tmp_path, {**PLAIN, "test_text.py": other}, [RIGHT])
    assert result.status is Status.NOT_REPAIRED
    assert "did not hold in a fresh run of the whole suite: test_text.py::test_source" in (
        result.message
    )
    assert result.patch is None


def test_an_interrupt_keeps_the_best_so_far(tmp_path: Path) -> None:
    result, _ = repair(tmp_path, PLAIN, [RIGHT, 5.0, KeyboardInterrupt()])
    assert result.status is Status.INTERRUPTED
    assert result.patch is not None
    assert result.turned_green == ("test_shop.py::test_price",)
    early, _ = repair(tmp_path, PLAIN, [KeyboardInterrupt()])
    assert early.status is Status.INTERRUPTED
    assert early.patch is None
    assert "Interrupted" in early.message


def test_tests_that_share_state_are_run_in_their_own_order(tmp_path: Path) -> None:
    files = {
        "till.py": "def total(items):\n    kept = items[1:] if len(items) > 3 else items\n"
        "    return sum(kept)\n",
        "test_till.py": "from till import total\n\nitems = []\n\n\ndef test_none():\n"
        "    assert total(items) == 0\n\n\ndef test_one():\n    items.append(4)\n"
        "    assert total(items) == 4\n\n\ndef test_three():\n    items.extend([6, 5])\n"
        "    assert total(items) == 11\n\n\ndef test_four():\n    items.append(9)\n"
        "    assert total(items) == 20\n",
        "test_other.py": "def test_other():\n    assert True\n",
    }
    wrong = ("len(items) > 3", "len(items) == 3")
    result, told = repair(tmp_path, files, [wrong, ("len(items) > 3", "len(items) >= 3")])
    assert "the project's own order" in told.warnings
    assert result.status is Status.REPAIRED, result
    assert result.turned_green == ("test_till.py::test_three",)
    assert result.patch is not None
    assert ">= 3" in result.patch.diff
    assert result.states == {"fail": 1, "pass": 1}


def test_few_that_share_state_are_left_to_confirmation(tmp_path: Path) -> None:
    many = "".join(f"\n\ndef test_{n}():\n    assert total([{n}]) == {n}\n" for n in range(30))
    files = {
        "till.py": "def total(items):\n    kept = items[1:] if len(items) > 3 else items\n"
        "    return sum(kept)\n",
        "test_till.py": "from till import total\n\nitems = []\n\n\ndef test_empty():\n"
        f"    assert total(items) == 0 == len(items)\n{many}\n\ndef test_four():\n"
        "    items.append(1)\n    assert total([1] * 4) == 4\n",
    }
    result, told = repair(tmp_path, files, [("len(items) > 3", "len(items) > 4")])
    assert "1 test passes only in the project's own order" in told.warnings
    assert "own order, which is slower" not in told.warnings
    assert result.status is Status.REPAIRED, result
    assert result.claims is not None
    assert "test_till.py::test_empty" in result.claims.kept


def test_part_of_the_failing_tests(tmp_path: Path) -> None:
    files = {
        "shop.py": SHOP.replace("name.strip()", "name"),
        "test_shop.py": TESTS + "\n\ndef test_never():\n    assert 1 == 2\n",
    }
    result, _ = repair(tmp_path, files, [RIGHT])
    assert result.status is Status.NOT_REPAIRED
    assert result.patch is not None
    assert result.turned_green == ("test_shop.py::test_price",)
    assert set(result.still_red) == {"test_shop.py::test_label", "test_shop.py::test_never"}
    assert "not repaired" in result.message


def test_one_of_two_that_fail_for_different_reasons(tmp_path: Path) -> None:
    """The one that cannot be mended comes first, and runs the same code."""
    absurd = "def test_absurd():\n    assert price([(2, 3)]) == 'six'\n\n\ndef test_price"
    files = {"shop.py": SHOP, "test_shop.py": TESTS.replace("def test_price", absurd)}
    result, _ = repair(tmp_path, files, [RIGHT])
    assert result.patch is not None, result
    assert result.turned_green == ("test_shop.py::test_price",)
    assert result.still_red == ("test_shop.py::test_absurd",)


def test_flaky_and_skipped_tests_are_not_said_to_pass(tmp_path: Path) -> None:
    more = (
        "\n\nimport pytest, random\n\n\n@pytest.mark.skip\ndef test_later():\n    assert False\n"
        "\n\n@pytest.mark.xfail\ndef test_known():\n    assert price([]) == 1\n"
        "\n\ndef test_flaky():\n    price([])\n    assert random.SystemRandom().random() < 0.5\n"
    )
    for number in range(4):
        files = {"shop.py": SHOP, "test_shop.py": TESTS + more}
        result, _ = repair(tmp_path / str(number), files, [RIGHT])
        if result.claims is not None:
            break
        assert "test_flaky" in result.message  # which had been green until then
    assert result.claims is not None
    assert result.claims.kept[:2] == ("test_shop.py::test_nothing", "test_shop.py::test_label")
    assert len(result.claims.skipped) == 2
    assert "test_shop.py::test_flaky" not in result.turned_green
    assert result.status is Status.REPAIRED


#: True where candidates are run, and not where it is first found out what fails.
SERVER = "any(name.startswith('_diffufix_inside') for name in sys.modules)"


def test_a_test_that_fails_only_outside_of_the_sandbox(tmp_path: Path) -> None:
    test = (
        "import sys\nfrom shop import price\n\n\ndef test_price():\n    assert price([]) == 0\n"
        f"    assert {SERVER}\n"
    )
    result, _ = repair(tmp_path, {"shop.py": SHOP, "test_shop.py": test}, [RIGHT])
    assert result.status is Status.NOT_REPAIRED
    assert "Nothing was tried" in result.message
    assert "test_shop.py::test_price (passed)" in result.message
    assert result.tried == 0


def test_nothing_is_called_repaired_that_could_not_be_checked(tmp_path: Path) -> None:
    more = f"\n\ndef test_there():\n    import sys\n    assert price([]) == 0 and not {SERVER}\n"
    files = {"shop.py": SHOP, "test_shop.py": TESTS + more}
    result, _ = repair(tmp_path, files, [RIGHT])
    assert result.status is Status.NOT_REPAIRED, result
    assert result.claims is not None
    assert result.claims.differs == ("test_shop.py::test_there",)
    assert "Not called repaired" in result.message
    assert result.patch is not None


SLOW = """

def test_slow():
    import time
    for _ in range({tenths}):
        time.sleep(0.1)
"""


@pytest.mark.slow
def test_a_slow_test_is_run_to_its_end(tmp_path: Path) -> None:
    files = {"shop.py": SHOP, "test_shop.py": TESTS + SLOW.format(tenths=80)}
    result, _ = repair(tmp_path, files, [RIGHT], budget=90.0)
    assert result.status is Status.REPAIRED, result
    assert result.claims is not None
    assert "test_shop.py::test_slow" in result.claims.kept
    assert result.claims.not_run == ()
    assert result.still_red == ()


def test_deselected_tests_are_named(tmp_path: Path) -> None:
    files = {**PLAIN, "pytest.ini": "[pytest]\naddopts = --deselect test_shop.py::test_label\n"}
    result, _ = repair(tmp_path, files, [RIGHT])
    assert result.status is Status.REPAIRED
    assert result.deselected == ("test_shop.py::test_label",)
    assert result.claims is not None
    assert result.claims.kept == ("test_shop.py::test_nothing",)


def test_a_search_without_time_for_a_first_candidate_says_where_the_time_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RoundRobin, "run", lambda *_: None)  # as where the sandbox took all of it
    result, _ = repair(tmp_path, PLAIN, [RIGHT])
    assert result.status is Status.NOT_REPAIRED
    assert "No time was left to search: of 120 s, copying the project" in result.message
    assert "running the tests" in result.message


def test_a_helper_of_the_tests_is_no_suspect(tmp_path: Path) -> None:
    files = {
        "shop.py": SHOP,
        "checks.py": "def check(seen, wanted):\n    if seen != wanted:\n"
        "        raise AssertionError(seen)\n",
        "test_shop.py": "from checks import check\nfrom shop import price\n\n\n"
        "def test_price():\n    check(price([(2, 3)]), 6)\n",
    }
    result, _ = repair(tmp_path, files, [("seen != wanted", "seen == wanted"), RIGHT])
    assert {suspect.path for suspect in result.suspects} == {"shop.py"}
    assert result.tried == 1
    assert result.status is Status.REPAIRED


def test_tests_that_do_not_end_within_the_budget(tmp_path: Path) -> None:
    files = {"shop.py": SHOP, "test_shop.py": TESTS + SLOW.format(tenths=400)}
    result, _ = repair(tmp_path, files, [RIGHT], budget=4.0)
    assert result.status is Status.NOT_REPAIRED
    assert "did not end within the budget of 4 s" in result.message
    assert "--budget" in result.hint
    assert result.seconds < 12


@pytest.mark.slow
def test_a_budget_that_finding_out_what_fails_uses_up(tmp_path: Path) -> None:
    slow = SLOW.format(tenths=40)
    files = {"shop.py": SHOP, "test_shop.py": TESTS + slow, "test_more.py": slow}
    result, _ = repair(tmp_path, files, [RIGHT], budget=14.0)
    assert result.status is Status.NOT_REPAIRED
    assert "No time was left to search: of 14 s, " in result.message
    assert "about --budget" in result.hint


def test_one_run_of_the_whole_suite_is_no_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trials, "_too_late", lambda self, seconds: True)
    result, _ = repair(tmp_path, PLAIN, [RIGHT])
    assert result.status is Status.PLAUSIBLE, result
    assert result.claims is not None
    assert len(result.claims.runs) == 1
    assert len(result.claims.kept) == 2
    assert "in one run of the whole suite it held" in result.message


def test_a_find_that_is_too_late_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(self: Trials, *_: Any, **__: Any) -> None:
        raise TooLate

    monkeypatch.setattr(Trials, "series", late)
    result, _ = repair(tmp_path, PLAIN, [("count + each", "count - each"), RIGHT])
    assert result.status is Status.NOT_REPAIRED
    assert result.patch is None
    assert "it is not confirmed: the budget of 120 s left no time" in result.message
    assert [offer.confirmed for offer in result.offers] == [False]
    assert "count * each" in result.offers[0].patch.diff


@pytest.mark.parametrize(("copies", "said"), [(0, "Copying the project"), (1, "No time was left")])
def test_copying_a_project_is_under_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int, said: str
) -> None:
    made = []

    def slowly(root: Path, scratch: Path, until: float) -> Path:
        made.append(until)
        return fresh_copy(root, scratch, until if len(made) <= copies else 0.0)

    for module in (diagnosis, makers):
        monkeypatch.setattr(module, "fresh_copy", slowly)
    result, _ = repair(tmp_path, PLAIN, [RIGHT])
    assert result.status is Status.NOT_REPAIRED
    assert said in result.message
    assert result.tried == 0


def test_a_file_with_changes_ends_it_before_the_search(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    (tmp_path / "shop.py").write_text(SHOP + "\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    with pytest.raises(ApplyError, match="Nothing was searched"):
        repair(tmp_path, PLAIN, [AssertionError("searched")], apply=True)


#: What a run without a failing test does not import.
LATER = ("torch", "diffufix.repair.steps", "diffufix.verify", "diffufix.cluster")


def test_a_green_suite_waits_for_nothing_of_the_search(tmp_path: Path) -> None:
    (tmp_path / "test_m.py").write_text("def test_m():\n    pass\n")
    code = (
        "import sys\nfrom diffufix.cli import main\n"
        f"code = main(['repair', '-q', '--sandbox', 'local', '--python', {sys.executable!r}])\n"
        f"sys.exit(code or ' '.join({{*{LATER!r}}} & {{*sys.modules}}) or None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
