"""Groups in files: JSON lines, or Parquet where pyarrow is installed.

A file holds one document per group, with everything the log knows of it. In Parquet, `sampling`,
`parts` and noise, whose shapes vary, are columns of JSON text. Read lazily, written atomically.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any

from diffufix.errors import PrerequisiteError, StoreError, UsageError
from diffufix.types import Completion, Group, Noise, Prompt, Task

SCHEMA_VERSION = 1
_BATCH = 1000  # groups written to Parquet at once


def document(group: Group) -> dict[str, Any]:
    """A group as JSON holds it."""
    return {"schema_version": SCHEMA_VERSION, **asdict(group)}


def group_of(values: Mapping[str, Any]) -> Group:
    """The group of a document. Raises ValueError for what is none."""
    try:
        version = values["schema_version"]
        if version != SCHEMA_VERSION:
            raise ValueError(f"written by another version (schema {version})")
        task, prompt = _tuples(values["task"]), _tuples(values["prompt"])
        rest = {key: values[key] for key in ("model", "estimator", "sampling", "made_at")}
        return Group(
            task=Task(**task),
            prompt=Prompt(**prompt),
            completions=tuple(map(_completion, values["completions"])),
            **rest,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no group: {type(error).__name__} {error}") from error


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}


def _completion(values: Mapping[str, Any]) -> Completion:
    given = dict(values)
    for key in ("ids", "order"):
        given[key] = tuple(given[key])
    given["behaviour"] = tuple(map(tuple, given["behaviour"]))
    given["noise"] = tuple(
        Noise(
            tuple(map(tuple, noise["masks"])),
            tuple(map(tuple, noise["weights"])),
            noise["prompt_seed"],
        )
        for noise in given["noise"]
    )
    return Completion(**given)


def write(path: Path, groups: Iterable[Group]) -> int:
    """Write groups to a .jsonl or .parquet file; returns how many.

    Raises UsageError (another ending), PrerequisiteError (no pyarrow), StoreError (not writable).
    """
    writer = _FORMATS.get(path.suffix)
    if writer is None:
        raise _unknown(path)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent or Path(), prefix=f".{path.name}.")
        os.close(descriptor)
        try:
            count = writer(Path(name), groups)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error
    except UnicodeEncodeError as error:
        raise StoreError(f"{path} cannot hold {error.object!r:.40}.", "Use *.jsonl.") from error
    return count


def read(path: Path) -> Iterator[Group]:
    """The groups of such a file. Raises UsageError, PrerequisiteError, StoreError with the line or
    row that is none."""
    if path.suffix not in _FORMATS:
        raise _unknown(path)
    rows = _read_lines(path) if path.suffix == ".jsonl" else _read_parquet(path)
    number = 1
    try:
        for values in rows:
            yield group_of(values)
            number += 1
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}, line {number}: {error}.", "`diffufix rewards export` writes such files."
        ) from error


def _unknown(path: Path) -> UsageError:
    return UsageError(f"{path.name}: unknown kind of file.", "Name it *.jsonl or *.parquet.")


# -- JSON lines ------------------------------------------------------------------------------------


LARGEST = 1 << 26  # characters of one group


def _write_lines(path: Path, groups: Iterable[Group]) -> int:
    count = 0
    with path.open("w", encoding="ascii") as file:  # JSON escapes all else, lone surrogates too
        for group in groups:
            file.write(json.dumps(document(group), separators=(",", ":")) + "\n")
            count += 1
    return count


def _read_lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        while line := file.readline(LARGEST + 1):
            if line.strip():
                if len(line) > LARGEST:
                    raise ValueError("a line is too long")
                try:
                    yield json.loads(line)
                except RecursionError:
                    raise ValueError("a line is nested too deeply") from None


# -- Parquet ---------------------------------------------------------------------------------------


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise PrerequisiteError(
            "Parquet needs pyarrow.", "pip install 'diffufix[train]', or use *.jsonl."
        ) from error
    return pyarrow


def _schema(pa: Any) -> Any:
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    task = {
        field.name: {"int": whole, "bool": pa.bool_(), "tuple[str, ...]": pa.list_(text)}.get(
            str(field.type), text
        )
        for field in fields(Task)
    }
    prompt = {"left": pa.list_(whole), "right": pa.list_(whole), "original": pa.list_(whole)}
    prompt |= {"width": whole, "lead": text, "gap": pa.bool_(), "failure": pa.list_(whole)}
    completion = {
        "ids": pa.list_(whole), "text": text, "state": text, "reward": real, "parts": text,
        "noise": text, "behaviour": pa.list_(pa.list_(real)), "seconds": real, "steps": whole,
        "order": pa.list_(whole),
    }  # fmt: skip
    return pa.schema(
        {
            "schema_version": whole,
            "task": pa.struct(task),
            "prompt": pa.struct(prompt),
            "completions": pa.list_(pa.struct(completion)),
            "model": text,
            "estimator": text,
            "sampling": text,
            "made_at": real,
        }
    )


def _write_parquet(path: Path, groups: Iterable[Group]) -> int:
    pa = _pyarrow()
    schema, rows, count = _schema(pa), iter(groups), 0
    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := [_flat(group) for group in islice(rows, _BATCH)]:
            writer.write_table(pa.Table.from_pylist(batch, schema))
            count += len(batch)
    return count


def _flat(group: Group) -> dict[str, Any]:
    values = document(group)
    values["sampling"] = json.dumps(values["sampling"])
    for completion in values["completions"]:
        for key in ("parts", "noise"):
            completion[key] = json.dumps(completion[key])
    return values


def _read_parquet(path: Path) -> Iterator[Any]:
    pa = _pyarrow()
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                for values in batch.to_pylist():
                    for completion in values["completions"]:
                        for key in ("parts", "noise"):
                            completion[key] = json.loads(completion[key])
                    yield values | {"sampling": json.loads(values["sampling"])}
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(str(error)) from error


_FORMATS: dict[str, Callable[[Path, Iterable[Group]], int]] = {
    ".jsonl": _write_lines,
    ".parquet": _write_parquet,
}
