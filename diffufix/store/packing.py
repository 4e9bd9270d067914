"""What only a learner reads of a group, in few bytes: ids, orders, masks, likelihoods. Pure.

Layout of the bytes, compressed by zlib: a header of lengths and types, a JSON head, then four
streams of numbers, each written as it is met: whole numbers, bits, weights, likelihoods. Equal
noise of several completions is kept once. Numbers come back exactly as they went in.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from diffufix.types import Completion, Noise

LEVEL = 3  # of compression: within 3 % of the best one, at half of its time
_VERSION = 1
_HEADER = struct.Struct("<B4s5I")
_WHOLE, _REAL = "bhiq", "fd"


def pack(completions: Sequence[Completion]) -> bytes:
    """All fields of the completions but those that their rows hold (text, state, reward, time)."""
    noises = list(dict.fromkeys(noise for c in completions for noise in c.noise))
    index = {noise: i for i, noise in enumerate(noises)}
    names = sorted({name for c in completions for name in c.parts})
    head = {
        "names": names,
        "parts": [[c.parts.get(name) for name in names] for c in completions],
        "seeds": [noise.prompt_seed for noise in noises],
    }
    whole: list[int] = []
    bits: list[int] = []
    weights: list[float] = []
    values: list[float] = []
    for noise in noises:
        _matrix(noise.masks, whole, bits)
        _matrix(noise.weights, whole, weights)
    for c in completions:
        for ids in (c.ids, c.order, [index[noise] for noise in c.noise]):
            whole += [len(ids), *ids]
        _matrix(c.behaviour, whole, values)
    text = json.dumps(head, separators=(",", ":")).encode()
    coded = [
        _coded(whole, _WHOLE), _coded(bits, "b"), _coded(weights, _REAL), _coded(values, _REAL),
    ]  # fmt: skip
    codes = "".join(code for code, _ in coded).encode()
    lengths = [len(text), len(whole), len(bits), len(weights), len(values)]
    header = _HEADER.pack(_VERSION, codes, *lengths)
    return zlib.compress(header + text + b"".join(data for _, data in coded), LEVEL)


def unpack(data: bytes, completions: Sequence[Completion]) -> tuple[Completion, ...]:
    """The completions with the packed fields put in. Raises ValueError for damaged bytes."""
    try:
        return _unpack(zlib.decompress(data), completions)
    except (zlib.error, struct.error, KeyError, IndexError, StopIteration) as error:
        raise ValueError(f"a damaged group: {error}") from error


def _unpack(data: bytes, completions: Sequence[Completion]) -> tuple[Completion, ...]:
    version, codes, size, *counts = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise ValueError(f"a group of an unknown format ({version})")
    at = _HEADER.size
    head = json.loads(data[at : at + size])
    at += size
    streams: list[_NumberReader] = []
    for code, count in zip(codes.decode(), counts, strict=True):
        numbers = struct.unpack_from(f"<{count}{code}", data, at)
        at += count * struct.calcsize(f"<{code}")
        streams.append(_NumberReader(numbers))
    whole, bits, weights, values = streams
    noises = []
    for seed in head["seeds"]:
        masks = tuple(tuple(map(bool, row)) for row in bits.matrix(whole))
        noises.append(Noise(masks, weights.matrix(whole), seed))
    found = []
    for completion, parts in zip(completions, head["parts"], strict=True):
        named = zip(head["names"], parts, strict=True)
        found.append(
            replace(
                completion,
                parts={name: value for name, value in named if value is not None},
                ids=whole.take(whole.next()),
                order=whole.take(whole.next()),
                noise=tuple(noises[i] for i in whole.take(whole.next())),
                behaviour=values.matrix(whole),
            )
        )
    return tuple(found)


class _NumberReader:
    """Numbers that are taken in the order in which they were written."""

    def __init__(self, numbers: tuple[Any, ...]) -> None:
        self._numbers, self._at = numbers, 0

    def next(self) -> Any:
        self._at += 1
        return self._numbers[self._at - 1]

    def take(self, count: int) -> tuple[Any, ...]:
        self._at += count
        return self._numbers[self._at - count : self._at]

    def matrix(self, shape: _NumberReader) -> tuple[tuple[Any, ...], ...]:
        return tuple(self.take(shape.next()) for _ in range(shape.next()))


def _matrix(rows: Sequence[Sequence[Any]], shape: list[int], numbers: list[Any]) -> None:
    shape.append(len(rows))
    for row in rows:
        shape.append(len(row))
        numbers += row


def _coded(numbers: Sequence[Any], codes: str) -> tuple[str, bytes]:
    """The numbers in the first type that holds them exactly."""
    for code in codes[:-1]:
        try:
            data = struct.pack(f"<{len(numbers)}{code}", *numbers)
        except (struct.error, OverflowError):
            continue
        if code in _WHOLE or struct.unpack(f"<{len(numbers)}{code}", data) == tuple(numbers):
            return code, data
    return codes[-1], struct.pack(f"<{len(numbers)}{codes[-1]}", *numbers)
