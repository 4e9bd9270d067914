"""Loading checkpoints in hub layout: what must work, and what must be said when it cannot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import diffufix
from diffufix.errors import CheckpointError, PrerequisiteError
from diffufix.model import Transformer, default_model, hub, load_model
from diffufix.model.family import Family, recognise
from diffufix.model.files import INDEX
from diffufix.model.weights import SCALE, pack_int8, write_tensors
from tests.support.checkpoints import make_dream_checkpoint


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("hub") / "DiffuCoder-7B-cpGRPO")


@pytest.fixture
def folder(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / original.name))


def edit(path: Path, **changes) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **changes}))


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    shards = sorted(folder.glob("model-*.safetensors"))
    return {name: tensor for path in shards for name, tensor in load_file(path).items()}


def ids_for(model) -> torch.Tensor:
    return torch.arange(24).view(2, 12) % model.config.vocab_size


def test_loads_in_hub_layout(original):
    model = load_model(original, device="cpu")
    assert isinstance(model, Transformer)
    assert model.lm_head.weight.dtype == torch.float32
    assert model(ids_for(model)).shape == (2, 12, model.config.vocab_size)
    assert not model.training
    mask = model.tokenizer.id("<|mask|>")
    assert mask is not None
    assert model.family == Family(
        name="diffucoder",
        shift=True,
        layout="inline",
        chat="chatml",
        mask=mask,
        pad=model.tokenizer.id("<|endoftext|>"),
        bos=model.tokenizer.id("<|beginoftext|>"),
        eos=model.tokenizer.id("<|endoftext|>"),
    )
    assert load_model(original, device="cpu", dtype="bfloat16").lm_head.weight.dtype == (
        torch.bfloat16
    )


def test_ids_that_no_hole_may_hold(original):
    model = load_model(original, device="cpu")
    banned = set(model.banned)
    assert set(model.tokenizer.added.values()) <= banned
    assert set(range(len(model.tokenizer), model.config.vocab_size)) <= banned
    assert model.tokenizer.id("def") not in banned


def test_expanding_checkpoints_are_recognised(tmp_path):
    model = load_model(
        make_dream_checkpoint(tmp_path / "DreamOn-v0-7B", expand_delete=True), device="cpu"
    )
    family = model.family
    assert family.name == "dreamon"
    assert family.chat == "none"
    assert family.expand == model.tokenizer.id("<|expand|>")
    assert family.delete == family.eos
    assert family.delete_reaches_right
    assert not {family.expand, family.delete} & set(model.banned)


def test_padding_changes_nothing_and_is_finite(original):
    model = load_model(original, device="cpu")
    ids = ids_for(model)[:1]
    plain = model(ids)
    for padded, keep, inside in (
        ([[0, 0, 0]], [0, 0, 0] + [1] * 12, slice(3, None)),
        ([[0, 0, 0]], [1] * 12 + [0, 0, 0], slice(0, 12)),
    ):
        parts = [torch.tensor(padded), ids] if keep[0] == 0 else [ids, torch.tensor(padded)]
        logits = model(torch.cat(parts, dim=1), torch.tensor([keep]))
        assert logits.isfinite().all()
        torch.testing.assert_close(logits[:, inside], plain, rtol=1e-4, atol=1e-4)


def test_one_file_equals_shards(original, tmp_path):
    whole = tmp_path / "whole"
    write_tensors(whole, state_of(original))
    shutil.copy(original / "config.json", whole)
    one, two = load_model(whole, device="cpu"), load_model(original, device="cpu")
    assert torch.equal(one(ids_for(one)), two(ids_for(two)))
    assert one.fingerprint != two.fingerprint  # other files
    with pytest.raises(CheckpointError, match="no tokenizer"):
        _ = one.tokenizer


def test_fingerprint_follows_the_weights(folder):
    before = load_model(folder, device="cpu").fingerprint
    assert before == load_model(folder, device="cpu").fingerprint
    path = next(folder.glob("model-00001*"))
    state = load_file(path)
    name = next(iter(state))
    save_file({**state, name: state[name] + 1}, path)
    assert load_model(folder, device="cpu").fingerprint != before


def test_tied_embeddings(tmp_path):
    tied = make_dream_checkpoint(tmp_path / "tied", tie=True)
    assert not any("lm_head" in name for name in state_of(tied))
    model = load_model(tied, device="cpu")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    edit(tied / "config.json", tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors.*lm_head"):
        load_model(tied, device="cpu")


def test_int8_rows(original, tmp_path):
    packed = pack_int8(state_of(original))
    assert packed["lm_head.weight"].dtype == torch.int8
    assert "lm_head.weight" + SCALE in packed
    write_tensors(tmp_path, packed)
    shutil.copy(original / "config.json", tmp_path)
    exact = state_of(original)["lm_head.weight"].float()
    loaded = load_model(tmp_path, device="cpu").lm_head.weight
    step = exact.abs().amax(dim=1, keepdim=True) / 127
    assert ((loaded - exact).abs() <= step * 0.51).all()


def test_adapter_is_merged(original, tmp_path):
    base = load_model(original, device="cpu")
    target = "model.layers.1.self_attn.q_proj"
    a, b = torch.randn(4, 64), torch.randn(64, 4)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    prefix = f"base_model.model.{target}"
    matrices = {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}
    save_file(matrices, tmp_path / "adapter_model.safetensors")
    merged = load_model(original, device="cpu", adapter=tmp_path)
    for (name, before), after in zip(
        base.state_dict().items(), merged.state_dict().values(), strict=True
    ):
        expected = before + 2 * b @ a if name == f"{target}.weight" else before
        torch.testing.assert_close(after, expected)
    assert merged.fingerprint != base.fingerprint
    save_file(
        {name.replace("layers.1", "layers.9"): t for name, t in matrices.items()},
        tmp_path / "adapter_model.safetensors",
    )
    with pytest.raises(CheckpointError, match="which the model lacks"):
        load_model(original, device="cpu", adapter=tmp_path)


def truncate(folder: Path) -> None:
    path = next(folder.glob("model-00002*"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_tensor(folder: Path) -> None:
    path = next(folder.glob("model-00001*"))
    state = load_file(path)
    state.pop(next(iter(state)))
    save_file(state, path)


def stray_tensor(folder: Path) -> None:
    path = next(folder.glob("model-00001*"))
    save_file({**load_file(path), "model.extra.weight": torch.ones(1)}, path)


BREAKAGES = {
    "cut short": truncate,
    "cannot be read|no config": lambda f: (f / "config.json").unlink(),
    "not JSON": lambda f: (f / "config.json").write_text("{"),
    "lacks 1 of 2 weight files": lambda f: next(f.glob("model-00001*")).unlink(),
    "lacks 1 tensors": drop_tensor,
    "holds model.extra.weight": stray_tensor,
    "config.json asks for": lambda f: edit(f / "config.json", intermediate_size=96),
    "lacks 12 tensors": lambda f: edit(f / "config.json", num_hidden_layers=3),
    "which the model lacks": lambda f: edit(f / "config.json", num_hidden_layers=1),
    "model_type 'llada'": lambda f: edit(f / "config.json", model_type="llada"),
    "rope_scaling": lambda f: edit(f / "config.json", rope_scaling={"type": "yarn", "factor": 4}),
    "hidden_act": lambda f: edit(f / "config.json", hidden_act="gelu"),
    "head_dim is 'wide'": lambda f: edit(f / "config.json", head_dim="wide"),
    "hidden_size is None": lambda f: edit(f / "config.json", hidden_size=None),
    "whether its predictions are shifted": lambda f: edit(f / "config.json", model_type="qwen2"),
    "lies outside": lambda f: edit(f / "config.json", mask_token_id=10**6),
    "no weights": lambda f: [p.unlink() for p in [*f.glob("*.safetensors"), f / INDEX]],
    "tokenizer files .* cannot be read": lambda f: (f / "vocab.json").write_text("[1"),
    "merges.txt is damaged": lambda f: (f / "merges.txt").write_text("a b c\n"),
    "two ids": lambda f: (f / "added_tokens.json").write_text('{"<|mask|>": 3}'),
}


@pytest.mark.parametrize("message", BREAKAGES)
def test_broken_checkpoints_are_named(folder, message):
    BREAKAGES[message](folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(folder, device="cpu")
    assert caught.value.hint


def test_what_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said: list[str] = []
    with pytest.raises(PrerequisiteError, match=r"research use only.* not accepted") as caught:
        load_model("apple/DiffuCoder-7B-cpGRPO", device="cpu", notify=said.append)
    assert "models pull" in caught.value.hint
    assert not said
    with pytest.raises(PrerequisiteError, match="not in the local cache") as caught:
        load_model("Dream-org/Dream-Coder-v0-Instruct-7B", device="cpu", notify=said.append)
    assert "mini" in caught.value.hint
    assert said
    with pytest.raises(PrerequisiteError, match="There is no model"):
        load_model("no such folder/at/all")
    with pytest.raises(PrerequisiteError, match="dtype"):
        load_model(tmp_path, dtype="float8")


def test_the_cache_of_the_hub_is_used(original, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--apple--DiffuCoder-7B-Base"
    snapshot = repository / "snapshots" / ("0" * 40)
    shutil.copytree(original, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    said: list[str] = []
    model = load_model("apple/DiffuCoder-7B-Base", device="cpu", notify=said.append)
    assert (said, model.path, model.family.chat) == ([], snapshot, "none")
    next(snapshot.glob("model-00001*")).unlink()  # a download that was cut off
    with pytest.raises(PrerequisiteError, match="lacks 1 of 2 weight files"):
        load_model("apple/DiffuCoder-7B-Base", device="cpu", notify=said.append)


def test_half_precision(original):
    exact, half = (load_model(original, device="cpu", dtype=d) for d in ("float32", "bfloat16"))
    logits = half(ids_for(half))
    assert logits.dtype == torch.bfloat16
    expected = exact(ids_for(exact))
    assert (logits.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_default_model_follows_the_machine(monkeypatch):
    for there, name in ((False, "mini"), (True, "apple/DiffuCoder-7B-cpGRPO")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert default_model() == name


def test_importing_the_package_is_light():
    code = (
        "import sys, diffufix.model, diffufix.model.tokenizer, diffufix.model.family; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    root = Path(diffufix.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_declared_family_decides_alone():
    own = {"family": "mini", "shift": False, "layout": "aside", "mask": 3, "expand": 4, "delete": 5}
    family = recognise({"model_type": "whatever", "diffufix": own}, {})
    assert (family.shift, family.layout, family.prompts) == (False, "aside", "mini")
    assert family.variable_length
    assert not family.delete_reaches_right
    assert recognise({"diffufix": family.as_dict()}, {}) == family
    for wrong in ({"family": "mini"}, {**own, "shift": 0}, {**own, "layout": "?"}):
        with pytest.raises(CheckpointError):
            recognise({"diffufix": wrong}, {})


@pytest.mark.parametrize(
    ("name", "tokens", "title", "chat"),
    [
        ("apple/DiffuCoder-7B-cpGRPO", {"<|im_start|>": 7}, "diffucoder", "chatml"),
        ("apple/DiffuCoder-7B-Base", {"<|im_start|>": 7}, "diffucoder", "none"),
        ("Dream-org/Dream-Coder-v0-Instruct-7B", {"<|im_start|>": 7}, "dream-coder", "chatml"),
        ("Dream-org/DreamOn-v0-7B", {"<|im_start|>": 7, "<|expand|>": 8}, "dreamon", "none"),
        ("somewhere", {}, "dream", "none"),
    ],
)
def test_dream_family_members(name, tokens, title, chat):
    config = {"model_type": "Dream", "mask_token_id": 5, "eos_token_id": 6}
    family = recognise(config, tokens, name=name)
    assert (family.name, family.chat, family.shift) == (title, chat, True)


def test_a_folder_called_mini_does_not_hide_the_embedded_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)
    assert (hub.locate("mini") / "config.json").is_file()
    with pytest.raises(CheckpointError, match="it has no config"):
        hub.locate("./mini")


def test_loading_leaves_the_compiler_of_torch_alone() -> None:
    code = (
        "import sys\nfrom diffufix.model import load_model\n"
        "load_model('mini', device='cpu')\nprint('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_of_a_loaded_model_is_left_without_data() -> None:
    model = load_model("mini", device="cpu")
    assert not [name for name, buffer in model.named_buffers() if buffer.is_meta]
    assert not [name for name, parameter in model.named_parameters() if parameter.is_meta]


@pytest.mark.parametrize("head_dim", [None, 16])
def test_a_head_dim_that_says_nothing_new(folder, original, head_dim) -> None:
    edit(folder / "config.json", head_dim=head_dim)
    one, two = load_model(folder, device="cpu"), load_model(original, device="cpu")
    assert torch.equal(one(ids_for(one)), two(ids_for(two)))


@pytest.mark.parametrize(
    ("place", "chat"),
    [
        ("hf-database/models--apple--DiffuCoder-7B-cpGRPO/snapshots/" + "0" * 40, "chatml"),
        ("hub/models--apple--DiffuCoder-7B-Base/snapshots/" + "0" * 40, "none"),
        ("base/weights", "chatml"),
        ("dc7b", "chatml"),
    ],
)
def test_the_name_of_a_folder_decides_nothing(original, tmp_path, place, chat) -> None:
    folder = shutil.copytree(original, tmp_path / place)
    assert load_model(folder, device="cpu").family.chat == chat


def test_what_a_checkpoint_declares_decides(folder, tmp_path) -> None:
    """Base weights under a name that says nothing: no template, no pad of their own; or a key."""
    plain = Path(shutil.copytree(folder, tmp_path / "dc7b"))
    edit(plain / "tokenizer_config.json", pad_token="<|endoftext|>")
    assert load_model(plain, device="cpu").family.chat == "none"
    edit(plain / "tokenizer_config.json", chat_template="{{ messages }}")
    assert load_model(plain, device="cpu").family.chat == "chatml"
    edit(plain / "config.json", diffufix={"chat": "none"})
    assert load_model(plain, device="cpu").family.chat == "none"
    edit(plain / "config.json", diffufix={"chat": "loud"})
    with pytest.raises(CheckpointError, match="loud"):
        load_model(plain, device="cpu")
