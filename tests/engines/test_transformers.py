"""An autoregressive model on this machine: a tiny random Qwen2 with marks, by transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from diffufix.engines.open import open_engine
from diffufix.engines.providers import engine_named
from diffufix.engines.types import Engine, EngineStopped, FillRequest
from diffufix.errors import CheckpointError
from tests.support.checkpoints import make_dream_checkpoint

SPECIALS = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("peer") / "some-coder"
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    engine = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([AddedToken(name, special=True) for name in SPECIALS])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=engine, eos_token=SPECIALS[0])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(letters) + len(SPECIALS), hidden_size=32, intermediate_size=48,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def peer(folder: Path) -> Engine:
    name = engine_named(f"fim:{folder}")
    assert name is not None
    return open_engine(name, device="cpu")


def test_fills_with_their_likelihoods(folder: Path, peer: Engine) -> None:
    request = FillRequest("def f(a):\n    return ", "\n", 5, 0.0)
    (fill,) = peer.fill(request)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = f"<|fim_prefix|>{request.left}<|fim_suffix|>\n<|fim_middle|>"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    total = 0.0
    model.requires_grad_(False)
    for _ in range(5):
        logps = model(ids).logits[0, -1].log_softmax(-1)
        best = int(logps.argmax())
        total += float(logps[best])
        ids = torch.cat([ids, torch.tensor([[best]])], dim=1)
        if best == len(tokenizer) - len(SPECIALS):
            break
    assert fill.logp == pytest.approx(total, abs=1e-4)
    assert fill.text == tokenizer.decode(ids[0, -5:], skip_special_tokens=True)


def test_several_fills_by_a_seed(peer: Engine) -> None:
    request = FillRequest("a = ", "\n", 6, 1.0, seed=3, count=4)
    before = torch.get_rng_state()
    fills = peer.fill(request)
    assert len({fill.text for fill in fills}) > 1
    assert fills == peer.fill(request)
    assert torch.equal(before, torch.get_rng_state())
    assert all("\n" not in f.text for f in peer.fill(FillRequest("a", "b", 9, 1.0, stop=("\n",))))
    assert peer.fill(FillRequest("'<|fim_middle|>'", "")) == []


def test_a_model_without_marks_is_refused(tmp_path: Path) -> None:
    masked = make_dream_checkpoint(tmp_path / "dream")
    name = engine_named(f"fim:{masked}")
    assert name is not None
    with pytest.raises(CheckpointError, match="cannot be loaded as an autoregressive model"):
        open_engine(name, device="cpu")


def test_it_ends_when_it_is_given_up(folder: Path) -> None:
    name = engine_named(f"fim:{folder}")
    assert name is not None
    engine = open_engine(name, device="cpu")
    engine.close()
    with pytest.raises(EngineStopped):
        engine.fill(FillRequest("a", "b"))
