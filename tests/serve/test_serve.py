"""`diffufix serve` over its socket: verdicts, who may ask, what is too much, what it tells."""

from __future__ import annotations

import base64
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from diffufix.cli import main
from diffufix.errors import ProjectError, UsageError
from diffufix.serve.client import VerifyClient
from diffufix.serve.protocol import UnknownProject, VerifyRequest
from diffufix.types import State
from tests.attacks.arena import FAILING, TESTS
from tests.support.served import Served, Shop


@pytest.fixture(scope="session")
def project(client: VerifyClient, shop: Shop) -> str:
    return client.add(shop.root)


def test_a_right_candidate_passes_and_says_why(
    client: VerifyClient, project: str, shop: Shop
) -> None:
    answer = client.verify(VerifyRequest(project, shop.right))
    assert answer.verdict.state is State.PASS
    assert answer.verdict.outcomes == dict.fromkeys(TESTS, "passed")
    assert answer.failing == FAILING
    assert answer.tests == TESTS  # failing ones first
    assert not answer.confirmed


def test_a_wrong_one_fails_with_its_message(client: VerifyClient, project: str, shop: Shop) -> None:
    answer = client.verify(VerifyRequest(project, shop.wrong, TESTS[2:], stop=False))
    assert answer.verdict.state is State.FAIL
    assert answer.verdict.outcomes == {TESTS[2]: "failed", TESTS[3]: "passed"}
    assert "assert 1 == 0" in answer.verdict.detail


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("import os; os._exit(0)", State.SUSPICIOUS),
        ("import os; raise ValueError(dict(os.environ))", State.FAIL),
        ("raise ValueError('\\ud800')", State.FAIL),  # no UTF-8 holds that
        ("while True: pass", State.TIMEOUT),
    ],
)
def test_a_hostile_one_does_not_pass(
    client: VerifyClient, project: str, shop: Shop, body: str, state: State
) -> None:
    answer = client.verify(VerifyRequest(project, shop.with_body(body)))
    assert answer.verdict.state in (state, State.SUSPICIOUS)
    assert "secret" not in answer.verdict.detail


def test_tests_are_no_candidates(client: VerifyClient, project: str) -> None:
    answer = client.verify(VerifyRequest(project, {"test_shop.py": "def test_total(): pass\n"}))
    assert answer.verdict.state is State.SUSPICIOUS


def test_many_at_once_get_their_own_answers(client: VerifyClient, project: str, shop: Shop) -> None:
    bodies = [shop.right, shop.wrong] * 10
    with ThreadPoolExecutor(8) as pool:
        states = pool.map(lambda f: client.verify(VerifyRequest(project, f)).verdict.state, bodies)
    assert list(states) == [State.PASS, State.FAIL] * 10


@pytest.mark.slow
def test_the_whole_suite_confirms(client: VerifyClient, project: str, shop: Shop) -> None:
    answer = client.verify(VerifyRequest(project, shop.right, confirm=True))
    assert answer.confirmed
    assert answer.claims is not None
    assert answer.claims["turned_green"] == list(FAILING)


def test_what_cannot_be_answered_says_so(client: VerifyClient, project: str, shop: Shop) -> None:
    with pytest.raises(UsageError, match="no test of this project"):
        client.verify(VerifyRequest(project, shop.right, ("test_shop.py::test_other",)))
    with pytest.raises(UsageError, match="no file"):
        client.verify(VerifyRequest(project, {}))
    with pytest.raises(UnknownProject):
        client.verify(VerifyRequest("0" * 64, shop.right))
    with pytest.raises(ProjectError, match="None of 4 tests"):
        client.verify(VerifyRequest(project, shop.right, args=("-k", "nothing_of_that_name")))


def test_a_project_must_have_the_hash_that_it_is_sent_under(server: Served, project: str) -> None:
    headers = {"authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers) as http:
        assert http.get(f"/projects/{project}").status_code == 200
        for hash in ("1" * 64, "..", "%2e%2e"):
            assert http.put(f"/projects/{hash}", content=b"no archive").status_code in (404, 422)
        assert http.get(f"/projects/{'1' * 64}").status_code == 404


def test_the_same_id_is_answered_once(server: Served, project: str, shop: Shop) -> None:
    headers = {"authorization": f"Bearer {server.token}", "x-request-id": uuid.uuid4().hex}
    body = {"project": project, "files": shop.right}
    with httpx.Client(base_url=server.url, headers=headers) as http:
        first, again = (http.post("/verify", json=body).json() for _ in range(2))
        assert first == again  # to the microsecond
        other = http.post("/verify", json={**body, "files": shop.wrong})
        assert other.status_code == 422


def test_nobody_asks_without_the_token(server: Served, project: str) -> None:
    body = {"project": project, "files": {"a.py": ""}}
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/health").json()["status"] == "ok"
        assert http.get("/ready").status_code == 200
        for given in ("", "Bearer wrong", "Bearer", "Basic !", "Basic " + "YTpi"):
            headers = {"authorization": given} if given else {}
            assert http.post("/verify", json=body, headers=headers).status_code == 401
            assert http.get("/metrics", headers=headers).status_code == 401
        basic = base64.b64encode(f"x:{server.token}".encode()).decode()
        assert http.get("/metrics", headers={"authorization": f"Basic {basic}"}).is_success


def test_a_body_has_an_end(server: Served) -> None:
    headers = {"authorization": f"Bearer {server.token}"}
    chunks = (b"x" * 65536 for _ in range(64))  # without a length
    with httpx.Client(base_url=server.url, headers=headers) as http:
        assert http.post("/verify", content=b"x" * (2 << 20)).status_code == 413
        assert http.put(f"/projects/{'2' * 64}", content=chunks).status_code == 413


def test_what_prometheus_reads(server: Served, client: VerifyClient, project: str) -> None:
    headers = {"authorization": f"Bearer {server.token}"}
    text = httpx.get(f"{server.url}/metrics", headers=headers).text
    for part in (
        'diffufix_verdicts_total{state="pass"}',
        'diffufix_requests_total{path="/verify",status="200"}',
        'diffufix_request_seconds_bucket{le="0.1",path="/verify"}',
        "diffufix_queue_depth 0.0",
        "diffufix_live_workers 1.0",
    ):
        assert part in text


def test_a_server_that_all_could_ask_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIFFUFIX_SERVE_TOKEN", raising=False)
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "there is no token" in capsys.readouterr().err
    monkeypatch.setattr("diffufix.serve.options.bubblewrap_works", lambda: False)
    monkeypatch.setenv("DIFFUFIX_SERVE_TOKEN", "secret")
    assert main(["serve", "--host", "0.0.0.0", "--sandbox", "local"]) == 2
    assert "there is no sandbox" in capsys.readouterr().err
