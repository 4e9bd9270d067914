"""`TransformersEngine`: an autoregressive model on this machine that fills in the middle.

Qwen2.5-Coder, StarCoder2 and alike, by transformers; code in a checkpoint is never run. May
download a checkpoint, as every model that is named.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from diffufix.engines.marks import FimMarks, marks_of
from diffufix.engines.types import EngineFill, EngineStopped, FillRequest, Spending
from diffufix.errors import CheckpointError

ROOM = 2_000  # tokens of both texts


class TransformersEngine:
    """The `Engine` of a local model; one request at a time."""

    at_once, room, note = 1, ROOM, ""

    def __init__(self, name: str, model: Any, tokenizer: Any, marks: FimMarks) -> None:
        self.name, self._model, self._tokenizer, self._marks = name, model, tokenizer, marks
        self.spending = Spending()
        self._lock, self._closed = threading.Lock(), False
        self._ends = [
            i for i in (*tokenizer.convert_tokens_to_ids(list(marks.ends)), tokenizer.eos_token_id)
            if isinstance(i, int) and i != tokenizer.unk_token_id
        ]  # fmt: skip

    @classmethod
    def open(cls, name: str, device: str = "auto", dtype: str = "auto") -> TransformersEngine:
        """Load a folder or a hub id. Raises CheckpointError, PrerequisiteError."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from diffufix.model import hub
        from diffufix.model.devices import check_memory, choose_device, choose_dtype

        folder = hub.locate(name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            with torch.device("meta"):
                from transformers import AutoConfig

                config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
                shell = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
            parameters = sum(p.numel() for p in shell.parameters())
            where = choose_device(device, parameters)
            kind = choose_dtype(dtype, where, parameters)
            check_memory(parameters * kind.itemsize, kind, where, name)
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=kind, trust_remote_code=False, use_safetensors=True
            )
        except (ValueError, KeyError, OSError, ImportError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise CheckpointError(
                f"{name} cannot be loaded as an autoregressive model: {reason}",
                "Such as fim:Qwen/Qwen2.5-Coder-0.5B.",
            ) from error
        marks = _read_by(tokenizer, name)
        torch.nn.Module.to(model, where)
        return cls(f"fim:{name}", model.eval(), tokenizer, marks)

    def fill(self, request: FillRequest) -> list[EngineFill]:
        """See `Engine.fill`."""
        import torch

        prompt = self._marks.prompt(request.left, request.right)
        if prompt is None:
            return []
        with self._lock, torch.inference_mode():
            if self._closed:
                raise EngineStopped(f"{self.name} was given up")
            ids = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
            ids = ids.to(self._model.device)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(request.seed)
                made = self._model.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=request.max_tokens,
                    do_sample=request.temperature > 0, num_return_sequences=request.count,
                    temperature=request.temperature or None, top_p=0.95 if request.temperature
                    else None, top_k=0 if request.temperature else None,
                    eos_token_id=self._ends or None,
                    pad_token_id=self._ends[0] if self._ends else 0,
                    stop_strings=list(request.stop) or None, tokenizer=self._tokenizer,
                    return_dict_in_generate=True, output_logits=True,
                )  # fmt: skip
            new = made.sequences[:, ids.shape[1] :]
            logps = torch.stack([step.float().log_softmax(-1) for step in made.logits], dim=1)
            own = logps.gather(-1, new[:, :, None])[:, :, 0]
        fills = [self._fill(*both, request.stop) for both in zip(new.tolist(), own, strict=True)]
        self.spending.requests += 1
        self.spending.prompt_tokens += ids.shape[1]
        self.spending.completion_tokens += sum(fill.tokens for fill in fills)
        return fills

    def _fill(self, ids: list[int], logps: Any, stop: tuple[str, ...]) -> EngineFill:
        count = next((i for i, token in enumerate(ids) if token in self._ends), len(ids))
        text = self._tokenizer.decode(ids[:count])
        for end in stop:
            text = text.partition(end)[0]
        return EngineFill(text, float(logps[: count + 1].sum()), min(count + 1, len(ids)))

    def close(self) -> None:
        self._closed = True


def _read_by(tokenizer: Any, name: str) -> FimMarks:
    """The marks of the model: by its name, else those that its tokenizer knows. Raises."""
    from diffufix.engines.marks import KNOWN

    guess = marks_of(Path(name).name)
    for marks in (*([guess] if guess else []), *KNOWN):
        ids = [tokenizer(m, add_special_tokens=False).input_ids for m in marks.all]
        if all(len(one) == 1 for one in ids):
            return marks
    raise CheckpointError(
        f"{name} has no marks for filling in the middle.",
        "Such models are Qwen2.5-Coder, StarCoder2, CodeGemma, DeepSeek-Coder (base).",
    )
