"""A project's tree that can be laid on any machine, known by its content; touches nothing else."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffufix.sandbox import Sandbox
from diffufix.sandbox.archive import write_archive
from diffufix.sandbox.reap import scratch_prefix


@dataclass(frozen=True)
class Snapshot:
    """`data` is an archive of the tree, or how one is got where this is used."""

    digest: str  # BLAKE2b of the archive, in hexadecimal digits
    size: int  # bytes
    data: Any  # bytes-like, or a callable that gives such

    @classmethod
    def of(cls, tree: Path) -> Snapshot:
        """Of a scratch copy (`fresh_copy`), whose name is kept: packages are imported by it."""
        file = io.BytesIO()
        write_archive(tree, file, tree.name)
        data = file.getvalue()
        return cls(hashlib.blake2b(data, digest_size=16).hexdigest(), len(data), data)

    def lay(self) -> Path:
        """A tree of its own, alone in a new scratch folder of this process."""
        folder = Path(tempfile.mkdtemp(prefix=scratch_prefix()))
        data = self.data() if callable(self.data) else self.data
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="fully_trusted")  # it is the user's project
        (tree,) = folder.iterdir()
        return tree


@dataclass(frozen=True)
class Portable:
    """A factory of sandboxes that may be carried to another machine and called there."""

    snapshot: Snapshot
    make: Callable[[Path], Sandbox]  # takes a scratch tree, which the sandbox then owns

    def __call__(self) -> Sandbox:
        return self.make(self.snapshot.lay())
