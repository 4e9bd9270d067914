"""The model and engines of a run, loaded in a thread while the tests still run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from diffufix.config import Settings

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from diffufix.engines.types import Engine, EngineOnly
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.registry.policy import Policy


class LoadedPolicy(NamedTuple):
    """What a run proposes with; `model` is loaded, `engines` are open."""

    policy: Policy
    model: LoadedModel | EngineOnly
    engines: tuple[Engine, ...]
    seconds: float


class Loading:
    """Loads once, from `start` on. At its end the thread is waited for: an interpreter must not
    end while torch is being imported."""

    def __init__(self, settings: Settings, mends: bool) -> None:
        self._settings, self._mends = settings, mends
        self._pool: ThreadPoolExecutor | None = None
        self._future: Future[LoadedPolicy] | None = None

    def __enter__(self) -> Loading:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def start(self) -> None:
        if self._future is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(1)
            self._future = self._pool.submit(self._load)

    def result(self) -> LoadedPolicy:
        self.start()
        assert self._future is not None
        return self._future.result()

    def _load(self) -> LoadedPolicy:
        from diffufix.engines.types import EngineOnly
        from diffufix.registry.policy import choose_policy

        began, settings = time.monotonic(), self._settings
        policy = choose_policy(settings)
        engines = policy.engage(settings.max_cost, settings.device, settings.dtype)
        model = (
            EngineOnly(policy.name)
            if policy.alone
            else policy.load(
                settings.device, settings.dtype, beside_engines=True, blocks=not self._mends
            )
        )
        return LoadedPolicy(policy, model, engines, time.monotonic() - began)
