"""Engines as completers: models behind a server, and autoregressive ones on this machine.

Holes and prompts go through the engine's own fills (diffufix/engines); conversations to the
server's `/v1/chat/completions`. Autoregressive models of this machine hold no conversation here.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from diffufix.completion.extract import blocks
from diffufix.completion.types import Ask, Completed, SamplingPlan, Watch
from diffufix.engines.providers import EngineName
from diffufix.errors import PrerequisiteError, UsageError

if TYPE_CHECKING:
    from diffufix.engines.client import Client
    from diffufix.engines.types import Engine

CHAT = "/v1/chat/completions"
CHARACTERS = 3.0  # of a token, for what fits: a guess on the safe side
ROOM = 6_000  # tokens of a conversation
FENCE = "```python\n"


class ServedCompleter:
    ordered, weights = False, ""

    def __init__(
        self, name: EngineName, most: float, device: str = "auto", dtype: str = "auto"
    ) -> None:
        self._name, self._most, self._place = name, most, (device, dtype)
        self.name, self.chats = name.text, name.provider is not None

    def complete(
        self, ask: Ask, n: int, plan: SamplingPlan, watch: Watch | None = None
    ) -> list[Completed]:
        """Raises PrerequisiteError where the engine gives no more: a run goes on from there."""
        from diffufix.engines.types import EngineStopped

        try:
            return self._answers(ask, n, plan) if ask.turns else self._fills(ask, n, plan)
        except EngineStopped as error:
            raise PrerequisiteError(
                f"{error}.", "What was done is kept; the same command goes on with it."
            ) from error

    def excess(self, ask: Ask, plan: SamplingPlan) -> int:
        said = sum(len(text) for _, text in ask.turns) + len(ask.left) + len(ask.right)
        return int(said / CHARACTERS) + plan.max_tokens - ROOM

    def spent(self) -> dict[str, Any]:
        asked = [vars(self)[name] for name in ("_client", "_engine") if name in vars(self)]
        return asked[0].spending.document() if asked and self.chats else {}

    @cached_property
    def _engine(self) -> Engine:
        from diffufix.engines.open import open_engine

        device, dtype = self._place
        return open_engine(self._name, most=self._most, device=device, dtype=dtype)

    @cached_property
    def _client(self) -> Client:
        from diffufix.engines.client import Client

        return Client(self._name, self._most)

    def _fills(self, ask: Ask, n: int, plan: SamplingPlan) -> list[Completed]:
        from diffufix.engines.types import FillRequest

        found: list[Completed] = []
        while len(found) < n:
            request = FillRequest(
                ask.left, ask.right, plan.max_tokens, plan.temperature, plan.seed + len(found),
                ask.stops, min(plan.batch, n - len(found)),
            )  # fmt: skip
            fills = self._engine.fill(request)
            if not fills:
                break
            for fill in fills:
                straight = tuple(range(fill.tokens))  # from left to right, by its nature
                found.append(Completed(fill.text, fill.tokens, fill.tokens, straight or None))
        return found[:n]

    def _answers(self, ask: Ask, n: int, plan: SamplingPlan) -> list[Completed]:
        if not self.chats:
            raise UsageError(
                f"{self.name} fills holes; conversations with it are not supported.",
                "Use an instruct checkpoint of this machine, or a server: ollama:MODEL.",
            )
        return [self._answer(ask, plan.after(number)) for number in range(n)]

    def _answer(self, ask: Ask, plan: SamplingPlan) -> Completed:
        from diffufix.engines.client import Refused
        from diffufix.engines.shapes import usage_of
        from diffufix.engines.types import EngineStopped

        client, provider = self._client, self._name.provider
        assert provider is not None
        body: dict[str, Any] = {
            "model": self._name.model, "max_tokens": plan.max_tokens,
            "temperature": plan.temperature, "seed": plan.seed,
            "messages": [{"role": who, "content": text} for who, text in ask.turns],
        }  # fmt: skip
        if plan.top_p is not None:
            body["top_p"] = plan.top_p
        path = CHAT.removeprefix("/v1") if self._name.url.endswith(("/v1", "/beta")) else CHAT
        try:
            document = client.post(path, body, plan.max_tokens)
            choice = document["choices"][0]
            text = str(choice["message"]["content"] or "")
        except Refused as error:
            raise EngineStopped(f"{self.name} refuses a conversation: {error}") from error
        except (KeyError, TypeError, IndexError) as error:
            raise EngineStopped(f"{self.name} answers in another form: {error}") from error
        usage = usage_of(document)
        client.count(usage, body, text)
        if ask.begun.endswith(FENCE) and blocks(text):  # it could not be begun there
            text = blocks(text)[0]
        tokens = usage.completion or 0
        return Completed(text, tokens, tokens, ended=choice.get("finish_reason") != "length")
