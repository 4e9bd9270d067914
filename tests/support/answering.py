"""A tiny instruct checkpoint that has learned one answer by heart, whatever it is asked."""

from __future__ import annotations

from pathlib import Path

import torch

from diffufix.completion.chatml import conversation
from diffufix.model.checkpoint import load_model
from diffufix.model.weights import write_tensors
from tests.support.checkpoints import make_dream_checkpoint

ANSWER = "So:\n```python\nprint(6 * 7)\n```\n"
QUESTIONS = ("What is wrong?", "Write a program that says the answer.", "x = 1", "Again, please.")
WIDTH = 40  # masks that it is trained with; --max-tokens has to be the same


def make_answering_checkpoint(folder: Path, answer: str = ANSWER, steps: int = 160) -> Path:
    """Trained for a few seconds. The weights written are float32."""
    make_dream_checkpoint(folder, hidden=64, layers=2, pieces=400, scale=0.08)
    model = load_model(folder, device="cpu", dtype="float32").requires_grad_(True).train()
    tokenizer, family = model.tokenizer, model.family
    end, pad = tokenizer.added["<|im_end|>"], family.eos
    assert pad is not None
    said = [*tokenizer.encode(answer), end]
    said += [pad] * (WIDTH - len(said))
    prompts = [
        tokenizer.encode(conversation([("user", text)], "", "chatml"), special=True)
        for text in QUESTIONS
    ]
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    target = torch.tensor(said)
    for step in range(steps):
        prompt = torch.tensor(prompts[step % len(prompts)])
        share = torch.rand((8, 1), generator=generator)
        masked = torch.rand((8, WIDTH), generator=generator) < share
        masked[0] = True
        canvas = torch.where(masked, family.mask, target)
        ids = torch.cat([prompt.expand(8, -1), canvas], dim=1)
        logits = model(ids)[:, len(prompt) - 1 : -1]  # the row left of a place predicts it
        loss = torch.nn.functional.cross_entropy(logits[masked], target.expand(8, -1)[masked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    write_tensors(folder, model.state_dict())
    return folder
