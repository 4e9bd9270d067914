"""`diffufix models …` as a user runs it, the hub as a server on this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from diffufix.cli import main
from diffufix.model import load_model
from diffufix.model.checkpoint import fingerprint_of
from diffufix.registry.cards import Card
from diffufix.registry.models import Registry
from tests.support.checkpoints import make_dream_checkpoint
from tests.support.hub_standin import Hub
from tests.support.lora import write_lora

BETTER = {"before": 0.2, "after": 0.45, "tasks": 40, "better": True}
WORSE = {"before": 0.2, "after": 0.19, "tasks": 40, "better": False}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("hub") / "Dream-tiny")


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(base, tmp_path_factory.mktemp("lora") / "adapter")


def fill(registry: Registry, base: Path, lora: Path, name: str, **values) -> None:
    card = Card(name, "lora", fingerprint_of(base), str(base), **values)
    registry.add(card, lambda folder: shutil.copytree(lora, folder, dirs_exist_ok=True))


@pytest.fixture
def here(tmp_path: Path, base: Path, lora: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A project with two trained models, as the working folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(f"[tool.diffufix]\nmodel = {str(base)!r}\n")
    monkeypatch.chdir(folder)
    registry = Registry(folder)
    fill(registry, base, lora, "first", gate=BETTER, method="coupled", data={"groups": 1200})
    fill(registry, base, lora, "second", gate=WORSE, method="rft", parent_name="first")
    return registry


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    got = main(["models", *argv])
    shown = capsys.readouterr()
    assert got == code, shown.err
    return shown.err if code else shown.out


def test_listing_adopting_and_going_back(here: Registry, capsys) -> None:
    out = run(capsys, "list")
    assert "20.0% -> 45.0% of 40 held-out tasks, better" in out
    assert "*" not in out
    assert "first is in use" in run(capsys, "adopt", "first")
    assert "* first" in run(capsys, "list")
    assert "already" in run(capsys, "adopt", "first")
    assert "not found better" in run(capsys, "adopt", "second", code=2)
    assert "before: first" in run(capsys, "adopt", "second", "--force")
    assert "second is in use" in run(capsys, "remove", "second", "--yes", code=2)
    assert run(capsys, "rollback") == "second is no longer in use; now: first.\n"
    assert "the base as it is" in run(capsys, "rollback")
    assert "nothing to go back" in run(capsys, "rollback", code=2)
    assert "--yes" in run(capsys, "remove", "second", code=2)
    assert run(capsys, "remove", "second", "--yes") == "Removed second.\n"
    assert here.names() == ["first"]


def test_as_json(here: Registry, capsys) -> None:
    run(capsys, "adopt", "first")
    (here.path("second") / "card.json").write_text("{")
    document = json.loads(run(capsys, "list", "--json"))
    assert [(row["name"], row["in_use"]) for row in document["models"]] == [("first", True)]
    assert document["damaged"] == ["second"]
    shown = json.loads(run(capsys, "show", "first", "--json"))["models"][0]
    assert shown["gate"] == BETTER
    assert Path(shown["folder"]) == here.path("first")


def test_showing_one(here: Registry, capsys) -> None:
    out = run(capsys, "show", "first")
    assert "first: LoRA adapter" in out
    assert "groups                 1,200" in out
    assert "no trained model 'third'" in run(capsys, "show", "third", code=2)


def test_nothing_yet(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Nothing was trained here yet" in run(capsys, "list")
    assert not (tmp_path / ".diffufix").exists()


def test_checkpoints_that_can_be_had(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    lines = {line.split("  ")[0]: line for line in run(capsys, "list").splitlines()}
    assert "15.2 GB" in lines["apple/DiffuCoder-7B-Base"]
    assert "to accept" in lines["apple/DiffuCoder-7B-Base"]
    assert "here" in lines["mini"]
    rows = json.loads(run(capsys, "list", "--json"))["checkpoints"]
    assert {row["name"]: row["folder"] for row in rows}["GSAI-ML/LLaDA-8B-Base"] is None
    shown = run(capsys, "show", "Salesforce/CoDA-v0-Base")
    assert "to be accepted" in shown
    assert "3.44 GB" in shown
    assert "not accepted" in run(capsys, "pull", "Salesforce/CoDA-v0-Base", code=2)
    blockwise = "dllm-hub/Qwen3-0.6B-diffusion-bd3lm-v0.1"
    assert "it fills no holes" in run(capsys, "show", blockwise)
    assert "to pull, writes" in lines[blockwise]


@pytest.fixture
def hub():
    with Hub() as standin:
        yield standin


@pytest.fixture
def ask(hub: Hub, here: Registry, diffufix_cli, tmp_path: Path):
    """Run a command against that hub: its address is read when the library is imported."""

    def ask(*argv: str, code: int = 0) -> str:
        done = diffufix_cli(
            "models", *argv, cwd=here.root, HF_ENDPOINT=hub.address, HF_TOKEN="hf_test",
            HF_HOME=str(tmp_path / "hf"), HF_HUB_DISABLE_XET="1", HF_HUB_OFFLINE="0",
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    return ask


def test_to_the_hub_and_back(
    here: Registry, base: Path, hub: Hub, ask, tmp_path: Path, capsys
) -> None:
    assert ask("push", "first", "team/shop") == f"{hub.address}/team/shop\n"
    assert hub.private["team/shop"]
    assert "Bearer hf_test" in hub.tokens
    files = hub.files("team/shop")
    assert set(files) == {
        "README.md", "card.json", "adapter_config.json", "adapter_model.safetensors"
    }  # fmt: skip
    assert not any(str(base.parent).encode() in data for data in files.values())
    assert "20.0% -> 45.0%" in ask("pull", "team/shop", "--name", "theirs")
    card = here.card("theirs")
    assert card.source.startswith("team/shop@")
    assert card.base == fingerprint_of(base)
    before, after = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (here.path("first"), here.path("theirs"))
    )
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)
    assert "not compared in this project" in run(capsys, "adopt", "theirs", code=2)
    run(capsys, "adopt", "theirs", "--force")
    loaded = load_model(base, device="cpu", adapter=here.path("theirs"))
    assert loaded.fingerprint != fingerprint_of(base)


def test_what_others_pushed_without_a_card(
    here: Registry, base: Path, lora: Path, hub: Hub, ask
) -> None:
    files = {path.name: path.read_bytes() for path in lora.iterdir() if path.is_file()}
    hub.commit("them/plain", {**files, "evil.py": b"print()", "model.pt": b"pickle"})
    assert "not compared" in ask("pull", "them/plain")
    card = here.card("plain")
    assert (card.kind, card.base) == ("lora", fingerprint_of(base))
    names = {path.name for path in here.path("plain").iterdir()}
    assert not names & {"evil.py", "model.pt"}


def test_a_checkpoint_is_pulled_once_and_then_offline(
    base: Path, hub: Hub, tmp_path: Path, diffufix_cli
) -> None:
    name = "Dream-org/DreamOn-v0-7B"
    files = {path.name: path.read_bytes() for path in base.iterdir() if path.is_file()}
    commit = hub.commit(name, {**files, "modeling_dream.py": b"print()"})
    there = {"HF_HOME": str(tmp_path / "hf"), "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def again(*argv: str, **environment: str):
        return diffufix_cli("models", *argv, cwd=tmp_path, **there, **environment)

    online = {"HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    done = again("pull", name, **online)
    assert done.returncode == 0, done.stderr
    assert commit[:12] in done.stdout
    assert "Apache-2.0" in done.stderr
    hub.commit(name, {"README.md": b"# empty"})
    assert commit[:12] in again("pull", name, HF_HUB_OFFLINE="1").stdout
    done = again("show", name, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert commit in shown
    assert not list((tmp_path / "hf").rglob("*.py"))


def test_what_cannot_be_pulled(here: Registry, hub: Hub, ask, capsys) -> None:
    hub.commit("them/empty", {"README.md": b"# nothing"})
    assert "neither an adapter nor a checkpoint" in ask("pull", "them/empty", code=2)
    assert "them/missing cannot be fetched" in ask("pull", "them/missing", code=2)
    assert "OWNER/NAME" in run(capsys, "pull", "first", "--name", "x", code=2)
    assert "already" in run(capsys, "pull", "them/first", code=2)
    assert here.names() == ["first", "second"]
