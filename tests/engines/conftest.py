"""Connections of engines that a test leaves open are closed behind it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made: list[httpx.Client] = []
    begin = httpx.Client.__init__

    def remembered(self: httpx.Client, **values: object) -> None:
        made.append(self)
        begin(self, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.Client, "__init__", remembered)
    yield
    for client in made:
        client.close()
