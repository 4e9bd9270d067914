"""The files of a corpus folder: written once, read by index through memory maps.

    report.json                      what is in it, and why the rest is not
    SPLIT-00000.jsonl ...            one function a line, in shards
    SPLIT.index.npy                  [N, 3] int64: shard, first byte, bytes of every line
    SPLIT.quality.npy                [N] float32
    SPLIT-00000.tokens.bin ...       ids, little-endian uint16 or uint32, one after the other
    SPLIT.tokens.npy                 [N, 3] int64: shard, first id, ids of every function

SPLIT is `train` or `held-out`. Nothing is loaded before it is asked for; a Documents can be sent to
another process, which opens the files again. Touches the folder it is given and nothing else.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffufix.errors import ProjectError, UsageError
from diffufix.model.tokenizer import Tokenizer

SPLITS = ("train", "held-out")
REPORT = "report.json"
_REBUILD = "Build the corpus again: `diffufix train corpus --out FOLDER`."


class ShardWriter:
    """Appends arrays of one dtype to numbered files of at most `limit` bytes (or one array)."""

    def __init__(self, folder: Path, stem: str, suffix: str, limit: int) -> None:
        self._folder, self._stem, self._suffix, self._limit = folder, stem, suffix, limit
        self._index: list[tuple[int, int, int]] = []
        self._shard, self._at, self._used = -1, 0, 0
        self._file: Any = None

    def add(self, data: bytes, items: int) -> None:
        """`data` holds `items` numbers (or bytes); the index counts those."""
        if self._file is None or (self._used and self._used + len(data) > self._limit):
            self.close()
            self._shard, self._at, self._used = self._shard + 1, 0, 0
            name = f"{self._stem}-{self._shard:05}{self._suffix}"
            self._file = (self._folder / name).open("wb")
        self._file.write(data)
        self._index.append((self._shard, self._at, items))
        self._at += items
        self._used += len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self, index: str) -> int:
        """Close, write the index under its name, and say how many arrays there are."""
        self.close()
        np.save(self._folder / index, np.array(self._index, dtype=np.int64).reshape(-1, 3))
        return len(self._index)


class Documents:
    """One split of a corpus folder: rows, and ids where token files were written.

    Raises ProjectError on opening a folder that is no corpus.
    """

    def __init__(self, folder: Path, split: str = "train") -> None:
        if split not in SPLITS:
            raise UsageError(f"No split {split!r}.", f"One of: {', '.join(SPLITS)}.")
        if not (folder / f"{split}.index.npy").is_file():
            raise ProjectError(f"{folder} is no corpus: {split}.index.npy is missing.", _REBUILD)
        self.folder, self.split = folder, split
        self._maps: dict[str, NDArray[Any]] = {}

    def __reduce__(self) -> tuple[type[Documents], tuple[Path, str]]:
        return Documents, (self.folder, self.split)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> dict[str, Any]:
        """source, path, package, licence, quality of a function."""
        data = self._piece(self._rows, index, ".jsonl", np.dtype("u1"))
        return json.loads(data.tobytes())

    def source(self, index: int) -> str:
        return self.row(index)["source"]

    def tokens(self, index: int) -> NDArray[np.unsignedinteger[Any]]:
        """The ids of a function, a read-only view of the file.

        Raises ProjectError when no token files were written.
        """
        return self._piece(self._ids, index, ".tokens.bin", self._dtype)

    def lengths(self) -> NDArray[np.int64]:
        """How many ids every function has."""
        return self._ids[:, 2]

    @cached_property
    def quality(self) -> NDArray[np.float32]:
        return np.load(self.folder / f"{self.split}.quality.npy")

    @cached_property
    def report(self) -> dict[str, Any]:
        return json.loads((self.folder / REPORT).read_text("utf-8"))

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        return np.load(self.folder / f"{self.split}.index.npy", mmap_mode="r")

    @cached_property
    def _ids(self) -> NDArray[np.int64]:
        path = self.folder / f"{self.split}.tokens.npy"
        if not path.is_file():
            raise ProjectError(
                f"{self.folder} holds no files of tokens.",
                "`diffufix train corpus --tokens-only --tokenizer FOLDER --out CORPUS` does.",
            )
        return np.load(path, mmap_mode="r")

    @cached_property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self.report["tokens"]["dtype"])

    def _piece(
        self, index: NDArray[np.int64], number: int, suffix: str, dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        shard, start, count = index[number].tolist()
        name = f"{self.split}-{shard:05}{suffix}"
        if name not in self._maps:
            self._maps[name] = np.memmap(self.folder / name, dtype=dtype, mode="r")
        found = self._maps[name][start : start + count]
        if len(found) != count:
            raise ProjectError(f"{self.folder / name} is cut short.", _REBUILD)
        return found


def write_tokens(folder: Path, tokenizer: Tokenizer, shard_bytes: int) -> dict[str, Any]:
    """Token files for both splits of a corpus folder; returns what report.json says of them.

    A function is encoded as it stands, without special tokens; uint16 where all ids fit.
    """
    dtype = np.dtype("<u2" if len(tokenizer) <= 2**16 else "<u4")
    counts: dict[str, int] = {}
    for split in SPLITS:
        documents = Documents(folder, split)
        for old in folder.glob(f"{split}-*.tokens.bin"):
            old.unlink()
        writer = ShardWriter(folder, split, ".tokens.bin", shard_bytes)
        counts[split] = 0
        for index in range(len(documents)):
            ids = tokenizer.encode(documents.source(index))
            writer.add(np.array(ids, dtype=dtype).tobytes(), len(ids))
            counts[split] += len(ids)
        writer.finish(f"{split}.tokens.npy")
    return {"dtype": dtype.str, "vocabulary": len(tokenizer), "count": counts}


def rows(path: Path, split: str) -> Iterator[dict[str, Any]]:
    """The rows of one split, of a corpus folder or of a single gzipped JSON-lines file whose rows
    name their `split`."""
    if path.is_dir():
        documents = Documents(path, split)
        for index in range(len(documents)):
            yield documents.row(index)
        return
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row.get("split", "train") == split:
                yield row
