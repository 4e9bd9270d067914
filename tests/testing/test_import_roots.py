"""Which folders of a project its tests import from."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffufix.testing.environment import import_paths, import_roots


@pytest.mark.parametrize(
    ("files", "roots"),
    [
        (["shop.py"], ("",)),
        (["src/shop/__init__.py"], ("", "src")),
        (["src/__init__.py", "src/shop.py"], ("",)),
        (["src/types.py"], ("",)),
        (["src/logging/__init__.py", "src/shop.py"], ("",)),
        (["src/platform/notes.txt", "src/shop.py"], ("", "src")),
        (["calendar.py", "src/shop.py"], ("src",)),
    ],
)
def test_none_that_is_a_package_or_hides_the_library(
    tmp_path: Path, files: list[str], roots: tuple[str, ...]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert import_roots(tmp_path) == roots
    paths = [f"/copy/{root}".rstrip("/") for root in roots]
    assert import_paths(tmp_path, "/copy") == paths
