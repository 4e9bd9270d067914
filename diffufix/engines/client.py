"""Requests to one server: keys, tries again, pauses, and what may be spent. Goes to the network.

Redirects are not followed: a key and a user's code go to the host that was named and no other.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from diffufix.engines.providers import EngineName, is_loopback, key_of
from diffufix.engines.types import EngineStopped, Spending, Usage

TRIES = 4
PAUSE, LONGEST_PAUSE = 0.5, 20.0  # seconds before the second try, and at most
CHARACTERS = 2.5  # of a token at least, for what a request may cost
LARGEST = 1 << 24  # bytes of an answer
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class Refused(Exception):
    """The server does not take such a request: its status and what it says."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status


class Client:
    """Requests of several threads to one server. `most` dollars are spent at most (estimated)."""

    def __init__(self, name: EngineName, most: float, sleep: Callable[[float], None] | None = None):
        assert name.provider is not None
        self.name, self.provider, self.most = name, name.provider, most
        key = key_of(name)
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(90.0, connect=5.0),
            follow_redirects=False,
            trust_env=not is_loopback(name.host),
        )
        self.spending = Spending(priced=self.provider.price is not None)
        self._reserved = 0.0
        self._lock = threading.Lock()
        self._next = 0.0  # when the next request may be sent (monotonic seconds)
        self._closed = threading.Event()
        self._sleep = sleep or self._wait

    def post(self, path: str, body: Mapping[str, Any], most_tokens: int) -> Any:
        """The JSON that a server answers. Raises Refused, EngineStopped."""
        reserve = self._reserve(body, most_tokens)
        try:
            return self._tried(path, body)
        finally:
            with self._lock:
                self._reserved -= reserve

    def count(self, usage: Usage, body: Mapping[str, Any], text: str) -> None:
        """Take down what a request took; what the server does not say is estimated."""
        read = usage.prompt if usage.prompt is not None else _tokens(_texts(body))
        wrote = usage.completion if usage.completion is not None else _tokens(text)
        with self._lock:
            self.spending.requests += 1
            self.spending.prompt_tokens += read
            self.spending.completion_tokens += wrote
            self.spending.dollars += self._dollars(read, wrote)

    def close(self) -> None:
        self._closed.set()
        self._http.close()

    def _reserve(self, body: Mapping[str, Any], most_tokens: int) -> float:
        """What a request may cost at most. Raises EngineStopped where that is too much."""
        most = self._dollars(_tokens(_texts(body)), most_tokens)
        with self._lock:
            if most and self.spending.dollars + self._reserved + most > self.most:
                raise EngineStopped(
                    f"{self.name.text} has spent ${self.spending.dollars:.4f}; --max-cost is "
                    f"${self.most:g}"
                )
            self._reserved += most
        return most

    def _dollars(self, read: int, wrote: int) -> float:
        price = self.provider.price
        return (read * price[0] + wrote * price[1]) / 1e6 if price else 0.0

    def _tried(self, path: str, body: Mapping[str, Any]) -> Any:
        said = ""
        for number in range(TRIES):
            self._pace()
            try:
                answer = self._http.post(self.name.url + path, json=dict(body))
            except httpx.TransportError as error:
                said = f"cannot be reached: {error or type(error).__name__}"
                self._pause(number, None)
                continue
            except RuntimeError as error:  # the client was closed
                raise EngineStopped(f"{self.name.text} was given up") from error
            if answer.status_code not in _AGAIN:
                return self._read(answer)
            said = f"answers {answer.status_code}: {_reason(answer)}"
            self._pause(number, answer.headers.get("Retry-After"))
        raise EngineStopped(f"{self.name.text} at {self.name.url} {said}"[:300])

    def _read(self, answer: httpx.Response) -> Any:
        status, shown = answer.status_code, self.name.text
        if status in (401, 403):
            raise EngineStopped(f"{shown} refuses the key: {status} {_reason(answer)}"[:300])
        if status == 402:
            raise EngineStopped(f"{shown} wants to be paid first: {_reason(answer)}"[:300])
        if status != 200:
            where = answer.headers.get("Location", "")
            raise Refused(status, f"it points to {where}" if where else _reason(answer))
        if len(answer.content) > LARGEST:
            raise Refused(status, "an answer that is too large")
        try:
            return answer.json()
        except ValueError as error:
            raise Refused(status, "an answer that is not JSON") from error

    def _pace(self) -> None:
        """Wait for this request's turn, where the server takes only so many a second."""
        if self._closed.is_set():
            raise EngineStopped(f"{self.name.text} was given up")
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._next)
            if self.provider.rate:
                self._next = begin + 1.0 / self.provider.rate
        if begin > now:
            self._sleep(begin - now)

    def _pause(self, number: int, told: str | None) -> None:
        """Before another try; all threads wait as long as the server says."""
        seconds = PAUSE * 2**number * (0.75 + 0.5 * random.random())
        asked = _seconds(told)
        if asked is not None:
            if asked > LONGEST_PAUSE:
                raise EngineStopped(f"{self.name.text} asks to wait {asked:.0f} s")
            seconds = max(seconds, asked)
            with self._lock:
                self._next = max(self._next, time.monotonic() + asked)
        if number < TRIES - 1:
            self._sleep(min(seconds, LONGEST_PAUSE))

    def _wait(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise EngineStopped(f"{self.name.text} was given up")


def _texts(body: Mapping[str, Any]) -> str:
    texts = [body.get(k, "") for k in ("prompt", "suffix", "input_prefix", "input_suffix")]
    turns = [turn["content"] for turn in body.get("messages", ())]
    return "".join(map(str, [*texts, *turns]))


def _tokens(text: str) -> int:
    return int(len(text) / CHARACTERS) + 1


def _seconds(told: str | None) -> float | None:
    """Of a Retry-After: seconds, or a date."""
    if not told:
        return None
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _reason(answer: httpx.Response) -> str:
    """What a server says of an error, one line."""
    try:
        document = answer.json()
    except ValueError:
        document = answer.text
    for key in ("error", "message", "detail"):
        if isinstance(document, Mapping) and key in document:
            document = document[key]
    text = document if isinstance(document, str) else str(document)
    return " ".join(text.split())[:200]
