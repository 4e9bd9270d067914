"""What a context is asked (`Asked`). Ids only, no text, no torch."""

from __future__ import annotations

from collections.abc import Sequence

#: A hole that is asked about, masks included, and the index of its prompt.
Asked = tuple[int, Sequence[int]]
