"""Text to ids and back, from the tokenizer files of a checkpoint folder. No torch.

`tokenizer.json` is read as it is. Dream checkpoints ship vocab.json and merges.txt with Python
code of their own, which is not run: the byte-level BPE of Qwen2 is built here from those files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Engine
from tokenizers.models import BPE

from diffufix.errors import CheckpointError

#: How Qwen2 cuts text before the merges: contractions, words, single digits, punctuation, spaces.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BLANK = "\u0120"  # how byte-level BPE writes a blank


class Tokenizer:
    """A byte-level BPE. Special tokens are recognised in text only where `special=True` asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        decoder = engine.get_added_tokens_decoder()
        #: The added tokens of the checkpoint: content -> id. None of them is ordinary text.
        self.added: dict[str, int] = {token.content: index for index, token in decoder.items()}
        vocabulary = engine.get_vocab(with_added_tokens=True)
        self._size = max(vocabulary.values(), default=-1) + 1
        self.unassigned = frozenset(range(self._size)) - frozenset(vocabulary.values())

    def __len__(self) -> int:
        """One more than the largest id that means something."""
        return self._size

    def id(self, token: str) -> int | None:
        """The id of one token as it stands in the vocabulary."""
        return self._engine.token_to_id(token)

    def twins(self, count: int) -> list[int]:
        """Of each id below `count` the one that says the same with a blank before it, or without
        the blank that it has; the id itself where there is none."""
        names = self._engine.get_vocab(with_added_tokens=False)
        found = list(range(count))
        for token, index in names.items():
            other = names.get(_BLANK + token)
            if other is not None and index < count and other < count:
                found[index], found[other] = other, index
        return found

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return self._encode(text, special).ids

    def encode_with_offsets(
        self, text: str, *, special: bool = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids, and for each the half-open range of characters that it covers.

        Tokens that share a multi-byte character all cover it.
        """
        encoding = self._encode(text, special)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; bytes that are no UTF-8 become U+FFFD."""
        return self._engine.decode(list(ids), skip_special_tokens=False)

    def _encode(self, text: str, special: bool) -> Any:
        # User code may spell a special token; only our own templates may mean one.
        self._engine.encode_special_tokens = not special
        return self._engine.encode(text, add_special_tokens=False)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder. Raises CheckpointError where files lack or lie."""
    try:
        if (folder / "tokenizer.json").is_file():
            return Tokenizer(_ready_made(folder))
        return Tokenizer(_from_parts(folder))
    except CheckpointError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(
            f"The tokenizer files in {folder} cannot be read: {error}",
            "Fetch tokenizer.json, or vocab.json and merges.txt, of the checkpoint again.",
        ) from error


def _ready_made(folder: Path) -> Engine:
    engine = Engine.from_file(str(folder / "tokenizer.json"))
    engine.no_padding()
    engine.no_truncation()
    engine.post_processor = None
    known = engine.get_vocab(with_added_tokens=True)
    missing = {text: i for text, i in _added_tokens(folder).items() if text not in known}
    for text, index in sorted(missing.items(), key=lambda item: item[1]):
        if index != engine.get_vocab_size(with_added_tokens=True):
            raise CheckpointError(
                f"{text!r} is id {index} in the tokenizer's settings but not in tokenizer.json.",
                "Use the tokenizer files that came with the weights.",
            )
        engine.add_special_tokens([AddedToken(text, special=True, normalized=False)])
    return engine


def _from_parts(folder: Path) -> Engine:
    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} has no tokenizer: neither tokenizer.json nor {name}.",
                "Fetch the tokenizer files of the checkpoint into that folder.",
            )
    vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if any(len(pair) != 2 for pair in pairs):
        raise CheckpointError(
            f"{folder / 'merges.txt'} is damaged: not two pieces a line.", "Fetch it again."
        )
    added = _added_tokens(folder)
    # Taken into the vocabulary, they keep the ids that the checkpoint gives them.
    for text, index in added.items():
        if vocabulary.setdefault(text, index) != index:
            raise CheckpointError(
                f"{text!r} has two ids, {vocabulary[text]} and {index}, in {folder}.",
                "Use the tokenizer files that came with the weights.",
            )
    engine = Engine(BPE(vocab=vocabulary, merges=[(a, b) for a, b in pairs]))
    engine.normalizer = normalizers.NFC()
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    engine.decoder = decoders.ByteLevel()
    ordered = sorted(added, key=lambda text: added[text])
    engine.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ordered])
    return engine


def _added_tokens(folder: Path) -> dict[str, int]:
    """Added tokens with their ids from every file in which checkpoints keep them."""
    added: dict[str, int] = dict(_json(folder / "added_tokens.json"))
    decoder = _json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    for index, token in decoder.items():
        if added.setdefault(token["content"], int(index)) != int(index):
            raise CheckpointError(
                f"{token['content']!r} has two ids in the tokenizer files of {folder}.",
                "Use the tokenizer files that came with the weights.",
            )
    return added


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}
