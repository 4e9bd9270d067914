"""Which model a run uses that names none, and what it takes to download one."""

from __future__ import annotations

import io
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch

from diffufix.cli import consent
from diffufix.config import Settings
from diffufix.errors import PrerequisiteError
from diffufix.model import hub, load_model, remembered
from diffufix.registry.policy import choose_policy
from tests.support.checkpoints import make_dream_checkpoint

GB = 10**9


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """No cache, no network, no answers given before."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a CUDA device of so many bytes."""

    def have(free: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free, free))

    return have


def refused(offer: hub.Download) -> bool:
    """The consent that must not be asked for."""
    pytest.fail(offer.name)


def cached(home: Path, name: str) -> Path:
    repository = home / "cache" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    make_dream_checkpoint(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_no_gpu_no_question():
    assert hub.decide("auto", refused) == hub.ModelChoice("mini")


def test_a_cpu_that_was_asked_for_needs_no_large_model(gpu):
    gpu(80 * GB)
    assert hub.decide("cpu", refused) == hub.ModelChoice("mini")


def test_nothing_is_downloaded_unasked(gpu, monkeypatch):
    gpu(80 * GB)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it went to the network"))
    choice = hub.decide()
    assert choice.name == "mini"
    assert "not to be downloaded" in choice.note
    policy = choose_policy(Settings(root=Path.cwd()))
    assert policy.name == "mini"
    assert "DiffuCoder" in policy.note


def test_a_gpu_that_is_too_small_is_not_offered_it(gpu):
    gpu(8 * GB)
    choice = hub.decide("auto", refused)
    assert choice.name == "mini"
    assert "8.0 GB free" in choice.note


def test_a_gpu_that_does_not_say_what_it_has(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert hub.decide("auto", refused).name == "mini"


def test_offline_it_goes_on_with_mini_and_says_why(gpu):
    gpu(80 * GB)
    choice = hub.decide("auto", lambda offer: True)
    assert choice.name == "mini"
    assert "cannot be downloaded" in choice.note


def test_what_is_in_the_cache_is_used(gpu, home):
    gpu(80 * GB)
    snapshot = cached(home, hub.LARGE)
    assert hub.decide("auto", refused) == hub.ModelChoice(hub.LARGE)
    assert hub.locate(hub.LARGE) == snapshot


@pytest.mark.parametrize("missing", ["vocab.json", "merges.txt", "vocab.json merges.txt"])
def test_a_copy_without_its_tokenizer_is_not_complete(home, missing):
    snapshot = cached(home, hub.LARGE)
    for name in missing.split():
        (snapshot / name).unlink()
    assert hub.in_cache(hub.LARGE) is None
    with pytest.raises(PrerequisiteError, match="tokenizer") as caught:
        load_model(hub.LARGE, device="cpu", notify=lambda line: None)
    assert "network" in caught.value.hint


def test_a_whole_tokenizer_file_is_enough(home):
    snapshot = cached(home, hub.LARGE)
    (snapshot / "vocab.json").unlink()
    shutil.copy(hub.locate("mini") / "tokenizer.json", snapshot)
    assert hub.in_cache(hub.LARGE) == snapshot


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("yes\n", True), ("\n", False)])
def test_it_is_asked_once(monkeypatch, typed, agreed):
    offer = hub.offer_of(hub.LARGE)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", said := Terminal())
    assert consent.agreed(offer, yes=False) is agreed
    assert "research" in said.getvalue()
    assert "15.2 GB" in said.getvalue()
    monkeypatch.setattr("sys.stdin", Terminal())
    assert consent.agreed(offer, yes=False) is agreed  # remembered
    assert said.getvalue().count("[y/N]") == 1


def test_without_a_terminal_nobody_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    offer = hub.offer_of(hub.LARGE)
    assert not consent.agreed(offer, yes=False)
    assert not consent.agreed(offer, yes=False, ask=False)
    assert consent.agreed(offer, yes=True)
    assert consent.agreed(offer, yes=False)  # it was agreed to


def test_the_settings_of_a_run_say_what_was_decided(gpu, monkeypatch):
    gpu(80 * GB)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    settings = consent.settled(Settings(root=Path.cwd()))
    assert settings.model == "mini"
    assert "not to be downloaded" in settings.model_note
    named = Settings(root=Path.cwd(), model="./somewhere")
    assert consent.settled(named) is named


def test_damaged_answers_are_no_answers(home):
    path = home / "config" / "diffufix" / "models.json"
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", json.dumps({hub.LARGE: "?"})):
        path.write_text(text)
        assert remembered.answered(hub.LARGE) is None


def test_a_licence_is_accepted_before_a_named_download(monkeypatch):
    with pytest.raises(PrerequisiteError, match="was not accepted here") as caught:
        hub.locate("apple/DiffuCoder-7B-Base")
    assert "models pull apple/DiffuCoder-7B-Base" in caught.value.hint
    named = Settings(root=Path.cwd(), model="apple/DiffuCoder-7B-Base", yes=True)
    assert consent.settled(named) == named
    assert remembered.answered("apple/DiffuCoder-7B-Base")
    with pytest.raises(PrerequisiteError, match="cannot be downloaded"):
        hub.locate("apple/DiffuCoder-7B-Base")


def test_the_commit_that_was_fetched_stays(home):
    first = cached(home, "Dream-org/DreamOn-v0-7B")
    folder, commit = hub.fetch("Dream-org/DreamOn-v0-7B")
    assert (folder, commit) == (first, "0" * 40)
    newer = first.with_name("1" * 40)
    shutil.copytree(first, newer)
    (first.parents[1] / "refs" / "main").write_text("1" * 40)
    assert hub.in_cache("Dream-org/DreamOn-v0-7B") == first
    assert hub.in_cache("Dream-org/DreamOn-v0-7B", "1" * 40) == newer
    assert hub.fetch("Dream-org/DreamOn-v0-7B", revision="1" * 40)[1] == "1" * 40
    assert remembered.pinned("Dream-org/DreamOn-v0-7B") == "1" * 40


def test_a_full_disk_is_said_before_the_download(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, GB))
    with pytest.raises(PrerequisiteError, match=r"1\.0 GB free"):
        hub.locate("Dream-org/DreamOn-v0-7B")
