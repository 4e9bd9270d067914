"""`diffufix chat` end to end with a tiny checkpoint that knows one answer by heart."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from diffufix.assistant.files import attached, named
from diffufix.assistant.session import ChatSession
from diffufix.cli import main
from diffufix.cli.chat import _Talk
from diffufix.completion.extract import blocks
from diffufix.completion.types import Ask, Completed, SamplingPlan, Watch
from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.report.chat import MASK, fresh
from tests.support.answering import QUESTIONS, WIDTH, make_answering_checkpoint


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_answering_checkpoint(tmp_path_factory.mktemp("answering") / "answering")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    return tmp_path


def test_one_answer_as_json_with_its_block_run_and_saved(
    here: Path, answering: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["chat", f"--model={answering}", f"--max-tokens={WIDTH}", "--device=cpu",
             "--temperature=0", "--sandbox=local", "-m", QUESTIONS[0]]  # fmt: skip
    assert main([*words, "--json", "--run", "--save=out.py"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"]["blocks"] == ["print(6 * 7)\n"]
    assert told["runs"][0]["stdout"] == "42\n"
    assert [turn["role"] for turn in told["turns"]] == ["user", "assistant"]
    assert told["answer"]["ended"] is True
    assert (here / "out.py").read_text() == "print(6 * 7)\n"
    assert main([*words, "--save=out.py"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_pipe_is_a_message(
    here: Path, answering: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO(QUESTIONS[1] + "\n"))
    words = ["chat", f"--model={answering}", f"--max-tokens={WIDTH}", "--temperature=0"]
    assert main([*words, "--device=cpu"]) == 0
    assert "print(6 * 7)" in capsys.readouterr().out


def test_mini_says_that_it_cannot_and_who_can(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "--model=mini", "-m", "hello", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert "never taught to answer" in told["message"]
    assert "apple/DiffuCoder-7B-cpGRPO" in told["hint"]
    assert main(["chat", "--model=mini"]) == 2  # no message, no terminal
    assert "There is no message" in capsys.readouterr().err


def test_a_server_answers_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked.append({"path": self.path} | json.loads(self.rfile.read(length)))
            message = {"content": "So:\n```python\nprint(1)\n```\n"}
            told = {"choices": [{"message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 9, "completion_tokens": 7}}  # fmt: skip
            data = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        model = f"ollama:some-coder@http://127.0.0.1:{server.server_port}"
        assert main(["chat", f"--model={model}", "-m", "hello", "--json"]) == 0
        server.shutdown()
    told = json.loads(capsys.readouterr().out)
    assert told["answer"]["blocks"] == ["print(1)\n"]
    assert told["answer"]["tokens"] == 7
    assert told["spent"] == {"requests": 1, "prompt_tokens": 9, "completion_tokens": 7}
    assert asked[0]["path"] == "/v1/chat/completions"
    assert asked[0]["messages"][-1] == {"role": "user", "content": "hello"}


class Scripted:
    """Says what it was told to; its context has `room` characters."""

    name, weights, chats, ordered, room = "scripted", "", True, False, 200

    def __init__(self) -> None:
        self.asked: list[Ask] = []

    def complete(
        self, ask: Ask, n: int, plan: SamplingPlan, watch: Watch | None = None
    ) -> Sequence[Completed]:
        self.asked.append(ask)
        return [Completed(f"answer {len(self.asked)}", 2, 2, (1, 0))]

    def spent(self) -> dict[str, Any]:
        return {}

    def excess(self, ask: Ask, plan: SamplingPlan) -> int:
        return sum(len(text) for _, text in ask.turns) - self.room


def test_turns_are_kept_as_far_as_they_fit() -> None:
    completer = Scripted()
    session = ChatSession(completer, SamplingPlan(), "Be brief.")
    session.ask("first " + "x" * 80)
    session.ask("second", {"a.py": "x = 1\n"})
    assert completer.asked[1].turns[0] == ("system", "Be brief.")
    assert [who for who, _ in completer.asked[1].turns] == ["system", "user", "assistant", "user"]
    assert completer.asked[1].turns[-1][1] == "second\n\na.py:\n```python\nx = 1\n```"
    answer = session.ask("third " + "y" * 90)
    assert answer.dropped == 2
    assert "first" not in completer.asked[2].turns[1][1]
    with pytest.raises(UsageError, match="too long for scripted"):
        session.ask("z" * 300)
    assert len(session.turns) == 4  # what could not be asked is not in the conversation


def test_again_takes_back_what_was_asked_last_and_nothing_else(here: Path) -> None:
    class Stopping(Scripted):
        def complete(
            self, ask: Ask, n: int, plan: SamplingPlan, watch: Watch | None = None
        ) -> Sequence[Completed]:
            if ask.turns[-1][1] == "stop" and len(self.asked) == 1:
                self.asked.append(ask)
                raise KeyboardInterrupt
            return super().complete(ask, n, plan, watch)

    session = ChatSession(Stopping(), SamplingPlan())
    talk = _Talk(session, Settings(here), Console(file=io.StringIO()), [])
    with pytest.raises(UsageError, match="Nothing was asked yet"):
        talk.take("/again")
    talk.take("first")
    with pytest.raises(KeyboardInterrupt):
        talk.take("stop")
    talk.take("/again")
    assert [said for who, said in session.turns if who == "user"] == ["first", "stop"]
    talk.take("/again")
    assert [said for who, said in session.turns if who == "user"] == ["first", "stop"]


def test_files_that_a_message_names(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n")
    text = "@Makefile @shop/dates.py, me@there.py @notes.md\n@property\n@pytest.mark.slow"
    assert named(text, tmp_path) == ["Makefile", "shop/dates.py", "notes.md"]
    with pytest.raises(UsageError, match=r"no file notes\.md"):
        attached(named(text, tmp_path)[2:], tmp_path)


def test_blocks_and_fresh_tokens() -> None:
    text = "Do:\n```python\nx = 1\n```\nor\n```\n```\n```sh\nls\n"
    assert blocks(text) == ["x = 1\n", "ls\n"]
    now = fresh(MASK * 4, f"a{MASK * 3}", 1.0, {})
    assert now == {0: 1.0}
    later = fresh(f"a{MASK * 3}", f"ab{MASK * 2}", 2.0, now)
    assert later == {0: 1.0, 1: 2.0}
