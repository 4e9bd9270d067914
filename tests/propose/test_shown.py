"""What prompts show of a failure and of the code around: the right parts; only those are cut."""

from __future__ import annotations

import pytest

from diffufix.decode.canvas import inline_canvas, room_of
from diffufix.model import load_model
from diffufix.propose.candidates import EditTarget
from diffufix.propose.in_place import _prompt
from diffufix.propose.proposals import FailureContext
from diffufix.propose.shown import cut_code, cut_report, cut_test, failing_line, fitted, own_test
from diffufix.propose.tasks import make_task, prompt_of
from diffufix.types import Hole, Kind, SuspiciousFunction
from tests.support.checkpoints import make_dream_checkpoint

FILLER = "".join(f"def test_other_{i}():\n    assert number({i}) == {i}\n\n\n" for i in range(60))
TESTS = (
    "import pytest\n\n\n@pytest.fixture\ndef shelf():\n    return Shelf(10)\n\n\n"
    + FILLER
    + "class TestShelf:\n    def test_free(self, shelf):\n        assert shelf.free() == 6\n\n"
    "    @pytest.mark.parametrize('n', [1, 2])\n    def test_many(self, n):\n"
    "        assert n < 0\n"
)


def test_the_failing_tests_own_text_is_shown():
    shown = own_test(TESTS, "tests/test_stock.py::TestShelf::test_free")
    assert "assert shelf.free() == 6" in shown
    assert "class TestShelf:" in shown
    assert "return Shelf(10)" in shown  # the fixture that it asks for
    assert "test_other" not in shown
    assert "test_many" not in shown
    many = own_test(TESTS, "tests/test_stock.py::TestShelf::test_many[2]")
    assert "parametrize('n', [1, 2])" in many
    assert "Shelf(10)" not in many


def test_what_sets_a_class_up_is_shown():
    source = (
        "class TestIt(Case):\n    def setUp(self):\n        self.x = make()\n\n"
        "    def test_a(self):\n        assert self.x\n\n    def test_b(self):\n        pass\n"
    )
    shown = own_test(source, "t.py::TestIt::test_a")
    assert "self.x = make()" in shown
    assert "assert self.x" in shown
    assert "test_b" not in shown


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("class Base:\n    def test_it(self):\n        assert 0\n", "t.py::TestSub::test_it"),
        ("if 1:\n    def test_it():\n        assert 0\n", "t.py::test_it"),
        ("async def test_it():\n    assert 0\n", "t.py::test_it[a-b]"),
    ],
)
def test_tests_that_stand_elsewhere_are_found(source, test):
    assert "assert 0" in own_test(source, test)


def test_what_is_no_function_is_shown_whole():
    assert own_test("x = 1\n", "t.py::doc.test") == "x = 1\n"
    assert own_test("def broken(:\n", "t.py::test_it") == "def broken(:\n"
    assert own_test("", "t.py::test_it") == ""


def report(lead: int, said: int) -> str:
    return "\n".join(
        [f"    step_{i}()" for i in range(lead)]
        + [">       assert total() == 3"]
        + [f"E       line {i}" for i in range(said)]
        + ["", "tests/test_it.py:9: AssertionError"]
    )


@pytest.mark.parametrize("lead", [0, 5, 500])
@pytest.mark.parametrize("said", [1, 10, 500])
@pytest.mark.parametrize("limit", [5, 16, 30])
def test_the_assertion_survives_every_cut(lead, said, limit):
    kept = cut_report(report(lead, said), "AssertionError: line 0", limit)
    assert "assert total() == 3" in kept
    assert "E       line 0" in kept
    assert len(kept.splitlines()) <= limit
    assert failing_line(report(lead, said)) == "assert total() == 3"


def test_a_message_without_a_traceback_is_shown():
    assert cut_report("", "ValueError: no", 30) == "ValueError: no"
    assert cut_report("some report", "ValueError: no", 30).splitlines()[0] == "ValueError: no"


def test_a_long_test_keeps_where_it_failed():
    text = "def test_long():\n" + "".join(f"    check({i})\n" for i in range(300))
    kept = cut_test(text, 24, "check(150)")
    assert kept.startswith("def test_long():")
    assert "    check(150)" in kept
    assert "check(20)" not in kept
    assert len(kept.splitlines()) <= 26
    assert "check(299)" in cut_test(text, 24)


@pytest.mark.parametrize("before", [3, 100])
@pytest.mark.parametrize("after", [3, 100])
@pytest.mark.parametrize("limit", [1, 6, 30])
def test_code_is_cut_between_the_signature_and_the_hole(before, after, limit):
    left = "def f(x):\n" + "".join(f"    a{i} = x\n" for i in range(before)) + "    return "
    right = "\n" + "".join(f"    b{i} = x\n" for i in range(after))
    near, far = cut_code(left, right, limit)
    assert near.endswith("    return ")
    assert far.startswith("\n")
    assert near.count("\n") + far.count("\n") <= max(limit, 2) + 4
    if before + after < limit - 3:
        assert (near, far) == (left, right)
    if limit > 3:
        assert near.startswith("def f(x):\n")


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "DiffuCoder-7B-cpGRPO"
    return load_model(make_dream_checkpoint(folder), device="cpu")


@pytest.fixture(scope="module")
def dreamon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "DreamOn-v0-7B"
    return load_model(make_dream_checkpoint(folder, expand_delete=True), device="cpu")


def subject_of(lines: int) -> tuple[EditTarget, Hole]:
    body = "".join(f"    value_{i} = convert(x, {i}) + offset[{i}]\n" for i in range(lines))
    source = f"def work(x, offset):\n{body}    return value_0\n{body}"
    at = source.index("return value_0") + len("return ")
    suspect = SuspiciousFunction("shop/work.py", "work", 1, 2 * lines + 2, 1.0, {})
    return EditTarget(suspect, source), Hole(at, at + len("value_0"), Kind.EXPRESSION, 1.0)


@pytest.mark.parametrize("lines", [5, 25, 45, 80, 400])
@pytest.mark.parametrize("name", ["chat", "dreamon"])
def test_every_prompt_fits_and_says_what_is_asked(lines, name, request):
    model = request.getfixturevalue(name)
    subject, hole = subject_of(lines)
    trace = report(40, 60)
    story = FailureContext(
        "tests/test_stock.py::TestShelf::test_free", TESTS, trace, "AssertionError: no"
    )
    left, right = _prompt(model, subject, hole, story)
    shown = left + right
    assert "assert shelf.free() == 6" in shown
    assert "assert total() == 3" in shown
    assert "def work(x, offset):" in shown
    assert left.endswith("return ")
    canvas = inline_canvas(model, left, right, "value_0")
    decoded = model.tokenizer.decode(canvas.left)
    assert len(canvas.left) + len(canvas.right) <= room_of(model) + 2
    assert left.removesuffix(" ") in decoded  # nothing was cut from it any more
    if name == "chat":
        assert decoded.startswith("<|im_start|>system")
        assert "Fix the bug so that the test passes" in decoded
        assert "<|im_start|>assistant\nHere is the code" in decoded
        assert model.tokenizer.decode(canvas.right).rstrip().endswith("<|im_end|>")


def test_a_prompt_that_was_not_made_to_fit_keeps_its_header(chat):
    code = "".join(f"    value_{i} = {i}\n" for i in range(2000))
    left = (
        "<|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\nThe test fails.\n"
        f"```python\n{code}```\nFix it.<|im_end|>\n<|im_start|>assistant\nHere:\n```python\n{code}"
        "    return "
    )
    canvas = inline_canvas(chat, left, "x\n" * 4000)
    decoded = chat.tokenizer.decode(canvas.left)
    assert len(canvas.left) + len(canvas.right) <= room_of(chat) + 2
    assert decoded.startswith("<|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\nThe te")
    assert "Fix it.<|im_end|>\n<|im_start|>assistant\nHere:\n```python\n" in decoded
    assert decoded.endswith("    return")


# -- self-play -------------------------------------------------------------------------------------


def task_of(subject: EditTarget, hole: Hole, answer: str | None, **others):
    return make_task(
        subject.suspect.path, "work", subject.source, (hole.start, hole.end), str(hole.kind),
        "mutant", ("tests/test_stock.py::TestShelf::test_free",), answer=answer, **others,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["chat", "dreamon"])
def test_self_play_asks_what_repair_asks(name, request):
    model = request.getfixturevalue(name)
    subject, hole = subject_of(30)
    test, trace = "tests/test_stock.py::TestShelf::test_free", report(4, 2)
    message = "AssertionError: line 0"
    left, right = _prompt(model, subject, hole, FailureContext(test, TESTS, trace, message))
    used = inline_canvas(model, left, right, "value_0")
    task = task_of(
        subject, hole, "value_1", failing=(test,), said=f"{message}\nassert shelf.free() == 6",
        test_source=own_test(TESTS, test), report=trace,
    )  # fmt: skip
    trained = prompt_of(model, task)
    assert trained is not None
    assert (trained.left, trained.right) == (used.left, used.right)


def test_the_width_says_nothing_of_the_answer(chat):
    subject, hole = subject_of(5)
    answers = ["v", "value_0 + value_1 * (offset[0] - 17)", "convert(x, 1)", None]
    prompts = [prompt_of(chat, task_of(subject, hole, answer)) for answer in answers]
    assert len({prompt.width for prompt in prompts if prompt is not None}) == 1
    assert None not in prompts


def test_the_cut_order_gives_up_only_at_the_end(chat):
    """A room that nothing fits into gives the shortest prompt there is, not an error."""
    left, right = fitted(
        chat.family, "repair", len, 1, left="def f():\n    return ", right="\n", original="1",
        path="a.py", function="f", test="t.py::test_f", test_source="def test_f():\n    assert f()",
    )  # fmt: skip
    assert "assert f()" in left
    assert "Fix the bug" in left
    assert right.rstrip().endswith("<|im_end|>")
