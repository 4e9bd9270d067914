"""The benches put clocks and ears around the product's functions: those exist."""

import pytest

from bench import where


@pytest.mark.parametrize(("owner", "method", "name"), where.places())
def test_what_is_clocked_exists(owner: object, method: str, name: str) -> None:
    assert callable(getattr(owner, method))
