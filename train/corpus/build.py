"""The corpus: functions of permissively licensed projects, filtered, deduplicated, decontaminated.

    diffufix train corpus --out FOLDER [--package NAME]... [--from FOLDER_OR_GIT_URL]...

Projects come from projects.py, their licences from licences.py. Every file and function passes the
filters of quality.py; exact copies, near-duplicates (neardup.py) and functions of the public
benchmarks (decontaminate.py) go, and whole projects are held out. Deterministic: the same sources
give the same bytes. Writes the folder that shards.py describes; touches nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
import tempfile
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffufix.errors import ProjectError, UsageError
from diffufix.model.tokenizer import load_tokenizer
from diffufix.propose.surroundings import NOTHING, FileOutline, Survey
from diffufix.source.file import SourceFile
from diffufix.source.functions import FunctionNode
from diffufix.train.corpus import decontaminate, licences, neardup, quality
from diffufix.train.corpus.projects import CorpusProject
from diffufix.train.corpus.shards import REPORT, SPLITS, Documents, ShardWriter, rows, write_tokens
from diffufix.train.corpus.shingles import Tokens, lexemes

SCHEMA_VERSION = 1
SHARD_BYTES = 64 * 2**20
HELD_OUT = 0.08  # of the projects
_SALT = 200  # with it, the recommended packages hold out pytest, pydantic and smaller ones
_BATCH = 4000  # functions hashed together
_TEST_BYTES = 4_000_000  # of a project's tests that are read for names
_WORD = re.compile(r"[^\W\d]\w{3,}")

Progress = Callable[[int, int, str], None]


@dataclass
class CorpusRow:
    """A candidate row of the corpus."""

    name: str
    source: str
    path: str
    project: str
    licence: str
    quality: float
    around: FileOutline = NOTHING

    def line(self) -> bytes:
        row = {
            "source": self.source,
            "path": self.path,
            "package": self.project,
            "licence": self.licence,
            "quality": self.quality,
            "outline": self.around.outline,
            "names": " ".join(self.around.names),
        }
        return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


@dataclass
class ProjectStats:
    """What is reported of one project."""

    origin: str
    licence: str
    split: str
    files: int = 0
    functions: int = 0
    characters: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def split_of(project: str) -> str:
    """`held-out` for about one project in twelve, decided by its name alone."""
    digest = hashlib.blake2b(f"{_SALT}/{project}".encode(), digest_size=4).digest()
    return "held-out" if int.from_bytes(digest, "big") / 2**32 < HELD_OUT else "train"


def load(path: Path, held_out: bool = False, least_quality: float = 0.0) -> list[str]:
    """The functions of a corpus folder (or of one gzipped file of rows) as texts."""
    found = rows(path, "held-out" if held_out else "train")
    return [row["source"] for row in found if row.get("quality", 1.0) >= least_quality]


class Builder:
    """Takes projects one after the other and keeps what belongs into the corpus.

    `any_licence` keeps functions under every licence, or none, with what their project states.
    """

    def __init__(self, folder: Path, any_licence: bool = False) -> None:
        self.any_licence = any_licence
        self.tallies: dict[str, ProjectStats] = {}
        self.by_licence: dict[str, Counter[str]] = {}
        self._names = decontaminate.names()
        self._benchmarks = decontaminate.Benchmarks.load()
        self._near = neardup.NearDuplicates()
        self._exact: set[bytes] = set()
        self._writers = {s: ShardWriter(folder, s, ".jsonl", SHARD_BYTES) for s in SPLITS}
        self._quality: dict[str, list[float]] = {split: [] for split in SPLITS}
        self._folder = folder

    def add(self, project: CorpusProject) -> None:
        split = split_of(project.name)
        tally = self.tallies.setdefault(
            project.name, ProjectStats(project.origin, project.licence or "none stated", split)
        )
        batch: list[CorpusRow] = []
        for function in self._functions(project, tally):
            batch.append(function)
            if len(batch) == _BATCH:
                self._keep(batch, tally)
                batch = []
        self._keep(batch, tally)

    def _functions(self, project: CorpusProject, tally: ProjectStats) -> Iterator[CorpusRow]:
        """Every function of a project that passes the filters."""
        usual = licences.is_permissive(project.licence)
        tested: frozenset[str] | None = None
        for path, relative in project.files:
            source = _read(path)
            if source is None:
                tally.dropped["unreadable file"] += 1
                continue
            own = licences.of_header(source)
            licence = own or project.licence
            if not self.any_licence and not (licences.is_permissive(own) if own else usual):
                tally.dropped["file not permissive" if licence else "file without licence"] += 1
                continue
            fault = quality.file_fault(source)
            parsed = None if fault else _parsed(source)
            if parsed is None:
                tally.dropped[fault or "unreadable file"] += 1
                continue
            tree, nodes = parsed
            tally.files += 1
            if tested is None:
                tested = _tested(project)
            survey: Survey | None = None
            for node, text in nodes:
                fault, value = quality.judge(node, text, tested)
                if fault:
                    tally.dropped[fault] += 1
                    continue
                survey = survey or Survey(source, tree)
                yield CorpusRow(
                    node.name, text, relative, project.name, licence or "none stated", value,
                    survey.around(node, text),
                )  # fmt: skip

    def _keep(self, batch: Sequence[CorpusRow], tally: ProjectStats) -> None:
        """Drop copies, near-duplicates and benchmarks of a batch, and write the rest."""
        tokens = Tokens(lexemes(function.source) for function in batch)
        shingles, ngrams = tokens.shingles(neardup.SHINGLE), decontaminate.ngrams(tokens)
        for index, function in enumerate(batch):
            start, end = tokens.borders[index : index + 2]
            key = hashlib.blake2b(tokens.hashes[start:end].tobytes(), digest_size=12).digest()
            if function.name in self._names:
                tally.dropped["benchmark: name"] += 1
            elif self._benchmarks.copied(ngrams[index]):
                tally.dropped["benchmark: n-grams"] += 1
            elif key in self._exact:
                tally.dropped["exact duplicate"] += 1
            elif self._near.add(shingles[index]) is not None:
                tally.dropped["near-duplicate"] += 1
            else:
                self._exact.add(key)
                self._write(function, tally)

    def _write(self, function: CorpusRow, tally: ProjectStats) -> None:
        line = function.line()
        self._writers[tally.split].add(line, len(line))
        self._quality[tally.split].append(function.quality)
        tally.functions += 1
        tally.characters += len(function.source)
        counts = self.by_licence.setdefault(function.licence, Counter())
        counts.update(functions=1, characters=len(function.source))

    def finish(self) -> dict[str, Any]:
        """Close the files and say what report.json says."""
        for split in SPLITS:
            self._writers[split].finish(f"{split}.index.npy")
            values = np.array(self._quality[split], dtype=np.float32)
            np.save(self._folder / f"{split}.quality.npy", values)
        total: Counter[str] = Counter()
        for tally in self.tallies.values():
            total.update(tally.dropped)
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "corpus",
            "options": {"any_licence": self.any_licence},
            "splits": {split: self._split(split) for split in SPLITS},
            "dropped": dict(total.most_common()),
            "licences": {
                name: dict(counts)
                for name, counts in sorted(
                    self.by_licence.items(), key=lambda item: -item[1]["characters"]
                )
            },
            "projects": {
                name: {**vars(tally), "dropped": dict(sorted(tally.dropped.items()))}
                for name, tally in sorted(self.tallies.items())
            },
            "near_duplicates": {
                "jaccard": neardup.THRESHOLD, "shingle": neardup.SHINGLE,
                "bands": neardup.BANDS, "rows": neardup.ROWS,
            },
            "decontamination": {
                "names": len(self._names), "texts": len(self._benchmarks.tasks),
                "ngram": decontaminate.LENGTH, "share": decontaminate.SHARE,
            },
        }  # fmt: skip

    def _split(self, split: str) -> dict[str, Any]:
        those = {n: t for n, t in self.tallies.items() if t.split == split and t.functions}
        values = self._quality[split]
        deciles = np.quantile(values, np.arange(1, 10) / 10).tolist() if values else []
        return {
            "projects": len(those),
            "functions": sum(t.functions for t in those.values()),
            "characters": sum(t.characters for t in those.values()),
            "quality_deciles": [round(value, 3) for value in deciles],
        }


def build(
    out: Path,
    projects: Sequence[CorpusProject],
    *,
    tokenizer: Path | None = None,
    any_licence: bool = False,
    missing: Sequence[str] = (),
    without: Sequence[str] = (),
    progress: Progress = lambda done, total, name: None,
) -> dict[str, Any]:
    """Write a corpus folder in place of an earlier one and return its report.

    `tokenizer`: a checkpoint folder whose ids are stored beside the texts. `missing`: packages
    that were wanted but not there, `without`: those left out on purpose, both for the report.

    Raises UsageError when `out` holds something else, ProjectError when nothing is left to learn
    from, CheckpointError for a bad tokenizer.
    """
    check_target(out)
    engine = load_tokenizer(tokenizer) if tokenizer else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "corpus"
        fresh.mkdir()
        builder = Builder(fresh, any_licence)
        ordered = sorted(projects, key=lambda project: (project.name, project.origin))
        for number, project in enumerate(ordered):
            progress(number, len(ordered), project.name)
            builder.add(project)
        report = builder.finish() | {"missing": sorted(missing), "without": list(without)}
        if not sum(report["splits"][split]["functions"] for split in SPLITS):
            raise ProjectError(
                f"Nothing is left for a corpus: {_reasons(report['dropped'])}.",
                "Name more sources; --any-licence keeps what is not permissively licensed.",
            )
        if engine:
            progress(len(ordered), len(ordered), "token files")
            report["tokens"] = write_tokens(fresh, engine, SHARD_BYTES)
        _seal(fresh, report)
        if out.exists():
            shutil.rmtree(out)
        fresh.rename(out)
    return report


def add_tokens(out: Path, tokenizer: Path) -> dict[str, Any]:
    """Write (again) the token files of a corpus that is there, and return its new report."""
    report: dict[str, Any] = dict(Documents(out).report)
    report["tokens"] = write_tokens(out, load_tokenizer(tokenizer), SHARD_BYTES)
    _seal(out, report)
    return report


def check_target(out: Path) -> None:
    """Raises UsageError when `out` is neither free nor an earlier corpus."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not _is_corpus(out)):
        raise UsageError(
            f"--out {out} holds something that is no corpus.", "Name a new or an empty folder."
        )


def _is_corpus(folder: Path) -> bool:
    try:
        return json.loads((folder / REPORT).read_text("utf-8"))["kind"] == "corpus"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _seal(folder: Path, report: dict[str, Any]) -> None:
    """Add the hash of every file to the report, and write it."""
    report["files"] = {}
    for path in sorted(path for path in folder.iterdir() if path.name != REPORT):
        with path.open("rb") as file:
            report["files"][path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _reasons(dropped: dict[str, int]) -> str:
    most = list(dropped.items())[:3]
    return ", ".join(f"{reason} ({count})" for reason, count in most) or "no functions found"


def _read(path: Path) -> str | None:
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError, OSError, ValueError):
        return None


def _parsed(source: str) -> tuple[ast.Module, list[tuple[FunctionNode, str]]] | None:
    """The tree; outermost functions and methods with their text, whole lines, not dedented."""
    file = SourceFile(source)
    if file.tree is None:
        return None
    return file.tree, [(each.node, file.text_of(each)) for each in file.functions()]


def _tested(project: CorpusProject) -> frozenset[str]:
    """The words of the project's tests, as far as they are read."""
    words: set[str] = set()
    room = _TEST_BYTES
    for path, _ in project.tests:
        text = _read(path) if room > 0 else None
        if text:
            words.update(_WORD.findall(text[:room]))
            room -= len(text)
    return frozenset(words)
