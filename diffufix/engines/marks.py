"""The marks with which models for filling in the middle are prompted, by the names of the models.

Sources: the model cards and tokenizers of Qwen2.5-Coder, StarCoder2, DeepSeek-Coder, Code Llama,
CodeGemma, Granite Code, Codestral and Seed-Coder.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FimMarks:
    """`prefix` LEFT `suffix` RIGHT `middle`, or with `suffix_first` the right side before."""

    names: tuple[str, ...]  # a model whose name holds one of these reads them
    prefix: str
    suffix: str
    middle: str
    ends: tuple[str, ...]  # with which a fill ends
    suffix_first: bool = False

    def prompt(self, left: str, right: str) -> str | None:
        """None where one of the texts spells a mark: it would be read as one."""
        if any(mark.strip() in text for mark in self.all for text in (left, right)):
            return None
        if self.suffix_first:
            return f"{self.suffix}{right}{self.prefix}{left}{self.middle}"
        return f"{self.prefix}{left}{self.suffix}{right}{self.middle}"

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(mark for mark in (self.prefix, self.suffix, self.middle) if mark)


_QWEN = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_pad|>", "<|file_sep|>", "<|im_end|>")
KNOWN = (
    FimMarks(
        ("qwen",), "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", _QWEN,
    ),
    FimMarks(
        ("codegemma",), "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
        ("<|file_separator|>", "<eos>", "<end_of_turn>"),
    ),
    FimMarks(
        ("starcoder", "granite", "stable-code", "santacoder", "smollm"),
        "<fim_prefix>", "<fim_suffix>", "<fim_middle>", ("<|endoftext|>", "<file_sep>"),
    ),
    FimMarks(
        ("deepseek",), "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>",
        ("<｜end▁of▁sentence｜>", "<|EOT|>"),
    ),
    FimMarks(
        ("codellama", "code-llama"), "<PRE> ", " <SUF>", " <MID>", ("<EOT>", "</s>"),
    ),
    FimMarks(
        ("codestral",), "[PREFIX]", "[SUFFIX]", "", ("</s>",), suffix_first=True,
    ),
    FimMarks(
        ("seed-coder",), "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>",
        ("<[end▁of▁sentence]>",), suffix_first=True,
    ),
)  # fmt: skip


def marks_of(model: str) -> FimMarks | None:
    """The marks that a model of that name reads; None: not known."""
    name = model.lower().replace("_", "-")
    return next((marks for marks in KNOWN if any(part in name for part in marks.names)), None)
