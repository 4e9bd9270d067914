"""From an autoregressive Qwen2 checkpoint, as transformers writes it, to a diffusion model."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from diffufix.errors import CheckpointError, UsageError
from diffufix.model import load_model
from diffufix.model.family import Family
from diffufix.propose.surroundings import FileOutline
from diffufix.train.checkpoints import write_model
from diffufix.train.corpus.shards import ShardWriter
from diffufix.train.objective import loss_of
from diffufix.train.pretrain import stages
from diffufix.train.pretrain.adapt import BlockSupply, noised, open_autoregressive
from diffufix.train.pretrain.fresh import initialise
from diffufix.train.pretrain.stages import PretrainConfig
from diffufix.train.pretrain.supply import read_functions
from diffufix.train.pretrain.trainer import Options
from diffufix.train.recipe import Recipe, RecipeStage
from tests.support.mini import library_functions

LENGTH = 48
FAMILY = Family("adapted", True, "inline", "none", mask=9, eos=0, pad=0)
QUIET = Options("cpu", 0, save_every=1000, log_every=1, quiz_every=0, quiet=True, tensorboard=False)
RECIPE = """
steps = 60
rows = 8
length = 48
warmup = 5
optimiser = "adamw"
adam_lr = 3e-3
decay_from = 1.0
attention_ramp = 0.3
t = [0.001, 1.0]
elbo = true

[[stage]]
name = "pretrain"
share = 1.0
mixture = { tokens = 1.0 }
"""


@pytest.fixture(scope="module")
def autoregressive(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2ForCausalLM of 10^5 parameters, trained on next tokens of the corpus."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen")
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    engine.train_from_iterator(library_functions(), trainer)
    config = Qwen2Config(
        vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=0, rope_theta=1e4,  # type: ignore[call-arg]
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    rng, texts = random.Random(0), read_functions(corpus)
    ids = [i for text in texts for i in (0, *engine.encode(text).ids)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(100):
        starts = [rng.randrange(len(ids) - LENGTH) for _ in range(8)]
        batch = torch.tensor([[0, *ids[s : s + LENGTH - 1]] for s in starts])
        logits = model(batch).logits[:, :-1]
        F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval().save_pretrained(folder)
    engine.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def job(autoregressive: Path, corpus: Path, tmp_path: Path) -> PretrainConfig:
    (tmp_path / "adapt.toml").write_text(RECIPE)
    return PretrainConfig(
        "pretrain", tmp_path / "adapt.toml", corpus, tmp_path / "run",
        source=str(autoregressive), options=QUIET,
    )  # fmt: skip


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_logits_equal_those_of_transformers_under_a_causal_mask(
    autoregressive: Path, tmp_path: Path
) -> None:
    from transformers import Qwen2ForCausalLM

    theirs = Qwen2ForCausalLM.from_pretrained(autoregressive).eval()
    ours = open_autoregressive(autoregressive, tmp_path)
    ids = torch.randint(1, 320, (2, 24), generator=torch.Generator().manual_seed(0))
    causal = torch.ones(24, 24, dtype=torch.bool).tril()[None, None]
    with torch.no_grad():
        hidden, _ = ours.hidden(ids, mask=causal)
        logits = ours.lm_head(hidden)[..., :320]
        torch.testing.assert_close(logits, theirs(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_missing_mask_gets_a_row_of_its_own(autoregressive: Path, tmp_path: Path) -> None:
    model = open_autoregressive(autoregressive, tmp_path)
    assert model.family.mask == 320
    assert model.config.vocab_size == 321
    assert model.tokenizer.id("<|mask|>") == 320
    weight = model.model.embed_tokens.weight
    torch.testing.assert_close(weight[320], weight[:320].mean(0))
    assert model.lm_head.weight is weight
    write_model(tmp_path / "saved", model, model.family, tmp_path)
    again = load_again(tmp_path / "saved")
    assert again.family == model.family
    assert torch.equal(again.model.embed_tokens.weight, weight)


def load_again(folder: Path) -> Any:
    return load_model(folder, device="cpu", dtype="float32")


def test_a_checkpoint_without_an_end_of_text_is_refused(
    autoregressive: Path, tmp_path: Path
) -> None:
    for file in autoregressive.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["eos_token_id"] = None
    (tmp_path / "config.json").write_text(json.dumps(config))
    text = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace("<|endoftext|>", "<|end|>"))
    for name in ("generation_config.json", "tokenizer_config.json"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="end-of-text"):
        open_autoregressive(tmp_path, tmp_path / "tokenizer")


def test_labels_stand_one_left_of_what_they_mask() -> None:
    ids = [[10 + i for i in range(20)]] * 6
    shares = [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    batch = noised(ids, shares, FAMILY, random.Random(0), attention=0.5)
    for row in range(6):
        assert batch.ids[row, 0] == 10, "nothing stands left of the first place"
        assert batch.labels[row, -1] == -100
        for place in range(1, 20):
            masked = batch.ids[row, place] == FAMILY.mask
            assert batch.labels[row, place - 1] == (10 + place if masked else -100)
    torch.testing.assert_close(batch.weights[:, 0], 1 / torch.tensor(shares))
    counts = (batch.ids == FAMILY.mask).sum(1)
    assert counts[-1] == 19
    causal = torch.ones(20, 20, dtype=torch.bool).tril()
    assert (batch.allowed | ~causal).all()
    ahead = batch.allowed[~causal].float().mean()
    assert 0.35 < ahead < 0.65
    unshifted = replace(FAMILY, shift=False)
    batch = noised(ids, shares, unshifted, random.Random(0))
    assert ((batch.labels != -100) == (batch.ids == FAMILY.mask)).all()
    assert batch.allowed.all()


def test_attention_opens_step_by_step(corpus: Path, autoregressive: Path, tmp_path: Path) -> None:
    open_autoregressive(autoregressive, tmp_path)
    stages_ = [RecipeStage(1.0, {"tokens": 1.0})]
    recipe = Recipe(steps=100, rows=2, length=LENGTH, attention_ramp=0.5, stages=stages_)
    make = BlockSupply(recipe, corpus, tmp_path, FAMILY).open()
    upper = ~torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    seen = [float(make(step, 0).allowed[upper].float().mean()) for step in (0, 25, 50)]  # type: ignore[attr-defined]
    assert seen[0] == 0
    assert 0.4 < seen[1] < 0.6
    assert seen[2] == 1


def test_adapting_learns_faster_than_starting_from_scratch(
    job: PretrainConfig, tmp_path: Path
) -> None:
    """The adapted model reaches in fewer steps what the same shape reaches from random weights."""
    done = stages.run(job)
    adapted = load_model(done["model"], device="cpu", dtype="float32")
    assert adapted.family.shift
    assert adapted.family.layout == "inline"
    assert json.loads((job.out / "model" / "config.json").read_text())["model_type"] == "Dream"

    random_model = load_model(done["model"], device="cpu", dtype="float32")
    initialise(random_model, 0)
    write_model(tmp_path / "random", random_model, adapted.family, adapted.path)
    stages.run(replace(job, source=str(tmp_path / "random"), out=tmp_path / "scratch"))
    supply = BlockSupply(Recipe.read(job.recipe), job.corpus, adapted.path, adapted.family)
    quiz = supply.quiz()["tokens"]

    def held_out(model: Any) -> float:
        with torch.no_grad():
            return sum(float(loss_of(model, batch)[0]) for batch in quiz) / len(quiz)

    scratch = load_model(tmp_path / "scratch" / "model", device="cpu", dtype="float32")
    assert held_out(adapted) < held_out(scratch) < held_out(random_model)
    goal = sum(losses(tmp_path / "scratch")[-10:]) / 10
    curve = losses(job.out)
    smooth = [sum(curve[i : i + 10]) / 10 for i in range(len(curve) - 9)]
    reached = next(i + 10 for i, loss in enumerate(smooth) if loss <= goal)
    assert reached <= 45, f"only after {reached} of 60 steps"


def test_recipes_and_models_must_fit(job: PretrainConfig, tmp_path: Path) -> None:
    job.recipe.write_text(RECIPE.replace("tokens", "plain"))
    with pytest.raises(UsageError, match="learns from tokens"):
        stages.run(job)
    job.recipe.write_text(RECIPE)
    with pytest.raises(UsageError, match="learns from plain, gap, body"):
        stages.run(replace(job, source="mini"))


def test_functions_of_a_folder_are_read_without_their_surroundings(tmp_path: Path) -> None:
    """A corpus folder says what stands around a function; running text is the function alone."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    writer = ShardWriter(folder, "train", ".jsonl", 10**6)
    row = {"source": "def f():\n    return 1", "outline": "import os", "names": "a b"}
    line = json.dumps(row).encode() + b"\n"
    writer.add(line, len(line))
    writer.finish("train.index.npy")
    np.save(folder / "train.quality.npy", np.ones(1, dtype=np.float32))
    texts = read_functions(folder)
    assert set(texts) == {(row["source"], FileOutline("import os", ("a", "b")))}
    supply = BlockSupply(Recipe(length=40), folder, tmp_path, FAMILY)
    ids = supply._block(Bytes(), texts, 40, random.Random(0))  # type: ignore[arg-type]
    text = bytes(i for i in ids if i).decode()
    assert "import" not in text
    assert text.startswith("def f():\n    return 1def f()")


class Bytes:
    def encode(self, text: str) -> list[int]:
        return list(text.encode())
