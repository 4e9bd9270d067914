"""Lines are counted as Python counts them, whatever else looks like the end of one."""

from __future__ import annotations

import pytest

from diffufix.propose.shown import cut_code, own_test
from diffufix.trust.behaviour import compare
from diffufix.trust.layout import odd_layout
from diffufix.trust.types import Call, Recording
from diffufix.types import FAILED

SIGNS = ["\x0c", "\x1c", "\x85", "\u2028"]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_in_a_text_is_no_line(sign: str) -> None:
    old = f'A = "{sign}"\n\n\ndef f(x):\n    return x\n'
    new = old.replace("    return x", "    y = x\n    return y")

    def recording(lines: tuple[int, ...]) -> Recording:
        call = Call("t", "f", (), "given", "return", "1", "same", lines)
        return Recording({"t": FAILED}, (call,))

    seen = compare(recording((5,)), recording((6,)), ["f"], {"a.py": (old, new)})
    assert seen.path_changed  # line 6 is new
    seen = compare(recording((4,)), recording((4,)), ["f"], {"a.py": (old, new)})
    assert not seen.path_changed


@pytest.mark.parametrize("sign", SIGNS)
def test_layout_looks_at_the_changed_line(sign: str) -> None:
    old = f'A = "{sign}"\n\n\ndef f(x):\n    return x\n'
    odd = old.replace("return x", "return x  +1")
    assert [rule for rule, _ in odd_layout(old, odd)] == ["layout"]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_test_is_shown_from_its_own_lines(sign: str) -> None:
    source = f'A = "{sign}"\n\n\ndef test_a():\n    assert 1 == 2\n\n\ndef test_b():\n    pass\n'
    assert own_test(source, "t.py::test_a").endswith("def test_a():\n    assert 1 == 2")
    left = "".join(f"a{n} = 1\n" for n in range(3)) + f'b = "{sign}"\n'
    assert cut_code(left, "", 4) == (left, "")
