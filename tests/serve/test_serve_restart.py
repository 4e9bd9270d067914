"""A server that ends, is killed or is full: no verdict is false, none is lost."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from diffufix.errors import SandboxUnavailable
from diffufix.serve.protocol import VerifyRequest
from diffufix.types import State
from tests.support.served import Served, Shop, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.mark.slow
def test_clients_outlive_two_ends_of_the_server(shop: Shop, tmp_path: Path) -> None:
    """One that lets it finish and one that does not; after it the projects are gone, too."""
    served = Served(tmp_path / "one")
    with served.client() as client, ThreadPoolExecutor(4) as pool:
        project = client.add(shop.root)
        files = [shop.right, shop.wrong] * 6
        coming = [pool.submit(client.verify, VerifyRequest(project, one)) for one in files]
        coming[1].result()
        assert served.end() == 0
        served = Served(tmp_path / "one", port=served.port)
        coming[6].result()
        served.end(signal.SIGKILL)
        served = Served(tmp_path / "two", port=served.port)
        states = [one.result().verdict.state for one in coming]
    assert states == [State.PASS, State.FAIL] * 6
    assert served.end() == 0


@pytest.mark.slow
def test_a_full_queue_and_an_end_without_grace_say_again(shop: Shop, tmp_path: Path) -> None:
    served = Served(tmp_path, "--queue", "1", "--grace", "0", token="")  # this machine's only
    slow = {"code": "import time; time.sleep(60)", "language": "python", "run_timeout": 60}
    found: list[httpx.Response] = []

    def ask() -> None:
        found.append(httpx.post(f"{served.url}/run_code", json=slow, timeout=60))

    threads = [threading.Thread(target=ask) for _ in range(3)]  # two slots, one waits
    for thread in threads:
        thread.start()
    with httpx.Client(base_url=served.url) as http:
        assert http.get("/metrics", headers={"host": "rebound.example"}).status_code == 400
        for _ in range(200):
            if "diffufix_queue_depth 1.0" in http.get("/metrics").text:
                break
            time.sleep(0.02)
        full = http.post("/run_code", json=slow)
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) >= 1
        assert full.json()["retry"]
        assert http.get("/ready").json() == {"status": "full"}
    with served.client(patience=0.1) as client, pytest.raises(SandboxUnavailable, match="429"):
        client.run_code("1")
    assert served.end() == 0
    for thread in threads:
        thread.join()
    assert [response.status_code for response in found] == [504] * 3
    assert all(response.json()["retry"] for response in found)
