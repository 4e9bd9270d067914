"""What confirmation says of every test, where they change from run to run, or are not run: no claim
is false."""

from __future__ import annotations

from typing import Any

from diffufix.types import Candidate, State
from tests.support.claims import HEAD, RIGHT, TARGET, claims_of, make, names


def test_what_changes_from_run_to_run_is_claimed_of_nobody(make_project: Any) -> None:
    project = make(
        make_project,
        """
        def test_every_other_time():
            mark = Path("mark")
            there = mark.exists()
            mark.unlink() if there else mark.touch()
            assert not there

        def test_steady():
            assert price(1)
        """,
    )
    (project.root / "mark").unlink(missing_ok=True)
    baseline = {**project.baseline, "test_app.py::test_every_other_time": "passed"}
    (project.root / "mark").unlink(missing_ok=True)
    claims = claims_of(project, baseline=baseline)
    assert names(claims.flaky) == ["test_every_other_time"]
    assert names(claims.kept) == ["test_steady"]


def test_skipped_and_expected_failures_are_not_counted_as_passing(make_project: Any) -> None:
    project = make(
        make_project,
        """
        @pytest.mark.skip
        def test_later(): pass

        def test_no_display():
            pytest.skip("none")

        @pytest.mark.xfail
        def test_known():
            assert price(2) == 7

        @pytest.mark.xfail
        def test_better_with_the_repair():
            assert price(5) == 5

        @pytest.mark.xfail
        def test_better_than_known():
            assert price(2)

        def test_plain():
            assert price(1)
        """,
    )
    claims = claims_of(project)
    assert names(claims.kept) == ["test_plain"]
    assert len(claims.skipped) == 4
    assert names(claims.no_longer_skipped) == ["test_better_with_the_repair"]
    # A test that was skipped, or passed against expectation, must not get worse.
    worse = {"app.py": "def price(n):\n    return n if n == 2 or n == 1 else 0\n"}
    assert claims_of(project, worse).kept == claims.kept


def test_what_is_left_out_after_a_failure_runs_with_the_repair(make_project: Any) -> None:
    """A hook or a fixture leaves tests out for the sake of one that fails."""
    project = make(
        make_project,
        """
        def test_ready():
            if price(2) != 2:
                pytest.skip("not ready")

        def test_step():
            assert price(1)
        """,
        conftest__py="""
        import pytest

        def pytest_runtest_makereport(item, call):
            if call.excinfo is not None and item.name == "test_price":
                item.session.stuck = True

        def pytest_runtest_setup(item):
            if item.name == "test_step" and getattr(item.session, "stuck", False):
                pytest.xfail("a step before it failed")
        """,
    )
    claims = claims_of(project)
    assert names(claims.no_longer_skipped) == ["test_ready", "test_step"]
    assert claims.skipped == claims.flaky == ()


def test_files_that_cannot_be_collected_are_named(make_project: Any) -> None:
    """Whether the edit lets them be collected or not; none of their tests was run."""
    project = make(
        make_project,
        "",
        test_never__py="import no_such_module\n\n\ndef test_a():\n    pass\n",
        test_now__py="from app import price\n\nassert price(1) == 1\n\n\ndef test_b():\n    pass\n",
    )
    files = ["test_never.py", "test_now.py"]
    claims = claims_of(project, uncollected=files)
    assert claims.turned_green == (TARGET,)
    assert [*claims.uncollected] == files
    assert not claims.complete
    with project.confirmer() as confirmer:  # where nobody knows of them, they are strange
        verdict = confirmer.confirm(Candidate(RIGHT), [TARGET], 0.0).verdict
    assert verdict.state is State.ERROR


def test_messages_that_differ_each_time_or_name_the_folder_are_no_other_order(
    make_project: Any,
) -> None:
    project = make(
        make_project,
        """
        def test_where():
            assert price(2) == 2, __file__

        def test_when():
            assert price(2) == 2, os.urandom(8)
        """,
    )
    claims = claims_of(project, every=True)
    assert claims.dropped == {}
    assert len(claims.runs) == 4


def test_subtests_that_are_skipped_or_expected_to_fail(make_project: Any) -> None:
    project = make(
        make_project,
        """
        import unittest

        class Parts(unittest.TestCase):
            def test_parts(self):
                for n in range(3):
                    with self.subTest(n=n):
                        if n == 1:
                            self.skipTest("not this one")
                        assert price(n) >= n
        """,
    )
    claims = claims_of(project)
    assert names(claims.kept) == ["test_parts"]
    assert claims.differs == claims.skipped == ()


def test_a_strict_xfail_that_passes_is_repaired_by_failing(make_project: Any) -> None:
    project = make_project(
        {
            "app.py": "def ok(n):\n    return n > 40\n",
            "test_app.py": """
                import pytest
                from app import ok

                @pytest.mark.xfail(strict=True)
                def test_new_rules():
                    assert ok(45)

                def test_ok():
                    assert ok(51) and not ok(40)
                """,
        }
    )
    target = "test_app.py::test_new_rules"
    assert project.failing == [target]
    right = {"app.py": project.text("app.py").replace("40", "49")}
    claims = claims_of(project, right, targets=[target], wanted={target: "xfailed"})
    assert claims.turned_green == (target,)


def test_what_stays_red_is_run_again(make_project: Any) -> None:
    project = make(
        make_project,
        """
        def test_other():
            assert 1 == 2

        def test_mended_by_the_way():
            assert price(3) == 3
        """,
    )
    claims = claims_of(project)
    assert names(claims.still_failing) == ["test_other"]
    assert names(claims.turned_green) == ["test_price", "test_mended_by_the_way"]


def test_what_ends_the_whole_run_is_said_not_to_be_run(make_project: Any) -> None:
    project = make(
        make_project,
        """
        def test_dies():
            if os.environ.get("DIES"):
                os._exit(3)

        def test_after():
            assert price(1)
        """,
    )
    assert project.baseline["test_app.py::test_dies"] == "passed"
    claims = claims_of(project, env={"DIES": "1"})
    assert names(claims.not_run) == ["test_dies"]
    assert names(claims.kept) == ["test_after"]


def test_what_fails_only_in_the_sandbox_is_claimed_of_nobody(make_project: Any) -> None:
    project = make(
        make_project,
        """
        def test_outside():
            assert "INSIDE" not in os.environ

        def test_inside():
            assert price(1)
        """,
    )
    claims = claims_of(project, env={"INSIDE": "1"})
    assert names(claims.differs) == ["test_outside"]
    assert names(claims.kept) == ["test_inside"]
    verdicts = {}
    with project.confirmer(env={"INSIDE": "1"}) as confirmer:
        for targets in ([TARGET], ["test_app.py::test_inside"]):
            verdicts[targets[0]] = confirmer.confirm(Candidate(RIGHT), targets).verdict
    assert verdicts["test_app.py::test_inside"].state is State.FAIL  # green without the edit, too


def test_a_flaky_target_is_no_target(make_project: Any) -> None:
    project = make(
        make_project,
        """
        def test_by_chance():
            mark = Path("mark")
            there = mark.exists()
            mark.unlink() if there else mark.touch()
            assert there and price(1)
        """,
    )
    by_chance = "test_app.py::test_by_chance"
    baseline = {TARGET: "failed", by_chance: "failed"}
    claims = claims_of(project, targets=[TARGET, by_chance], baseline=baseline)
    assert claims.turned_green == (TARGET,)
    assert claims.flaky == (by_chance,)
    with project.confirmer(baseline=baseline) as confirmer:
        alone = confirmer.confirm(Candidate(RIGHT), [by_chance], 0.0)
    assert not alone.verdict.passed


def test_a_target_that_hung_is_turned_green(make_project: Any) -> None:
    """It is left out of the unedited project's runs, for it would not end there."""
    app = "def price(n):\n    while n > 0:\n        n = n - 1 if n > 1 else n\n    return n\n"
    project = make_project(
        {"app.py": app, "test_app.py": HEAD.replace("== 2", "== 1") + "\ndef test_other(): pass\n"}
    )
    project._baseline = {TARGET: "failed", "test_app.py::test_other": "passed"}
    right = {"app.py": app.replace("while n > 0", "while n > 1")}
    claims = claims_of(project, right, hung=[TARGET])
    assert claims.turned_green == (TARGET,)
    assert not claims.not_run
