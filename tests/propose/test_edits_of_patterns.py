"""Edits of regular expressions."""

from __future__ import annotations

import pytest

from diffufix.propose.edits.regexes import changes


@pytest.mark.parametrize(
    ("literal", "right"),
    [
        ('r"^[0-9]{1,3}$"', 'r"^[0-9]{1,4}$"'),
        ('r"^[0-9]{1,3}$"', 'r"^[0-9]{0,3}$"'),
        ('r"^[0-9]{1,3}$"', 'r"^[0-9]{1,}$"'),
        ('r"^[0-9]{3}$"', 'r"^[0-9]{4}$"'),
        ('r"^[0-9]{3}$"', 'r"^[0-9]{3,}$"'),
        ('r"^[0-9]+$"', 'r"^[0-9]*$"'),
        ('r"a.b"', r'r"a\.b"'),
    ],
)
def test_one_element_is_changed(literal: str, right: str) -> None:
    found = [literal[:start] + text + literal[end:] for start, end, text in changes(literal)]
    assert right in found
    assert "{-" not in "".join(found)
