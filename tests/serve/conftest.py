"""One server for all of these tests, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from diffufix.serve.client import VerifyClient
from tests.support.served import Served, Shop, make_shop, why_not


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("serve") / "shop-project")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if reason := why_not():
        pytest.skip(reason)
    served = Served(tmp_path_factory.mktemp("served"), "--body", "1")
    yield served
    assert served.end() == 0


@pytest.fixture(scope="session")
def client(server: Served) -> Iterator[VerifyClient]:
    with server.client() as made:
        yield made
