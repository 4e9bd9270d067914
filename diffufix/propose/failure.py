"""What a failing test said, as a small model is shown it: the message, and the lines of the test
that name the function. Touches nothing.

What was expected, what came instead and what was called so stand where the model attends to, and
where its copying head takes names from. Training (train/rl/failures.py), repair and self-play see
failures through this file.
"""

from __future__ import annotations

import re
from typing import Protocol

from diffufix.source.file import SourceFile

MAX_FAILURE = 80  # tokens in all,
MAX_MESSAGE = 48  # of them of the message
MORE = 112  # tokens in all for families that read an outline as well
_LONG = 600  # characters of either that are looked at
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")  # another one in every process


class Encoder(Protocol):
    def encode(self, text: str) -> list[int]: ...


def failure_text(message: str, test: str, source: str, qualname: str) -> str:
    """The message of a test's failure on one line, and below it how the test calls the function.
    The same in every run of the same test.

    `test` is its pytest id, `source` its file's text ("" where it is not known), `qualname` that
    of the function under suspicion.
    """
    said = _ADDRESS.sub("", " ".join(message.split()))[:_LONG]
    return "\n".join([said, *calls(test, source, qualname)])


def calls(test: str, source: str, qualname: str) -> list[str]:
    """The test's own lines that hold the function's name, without their indentation."""
    name = re.compile(rf"\b{re.escape(qualname.rpartition('.')[2])}\b")
    wanted = ".".join(test.partition("[")[0].split("::")[1:])
    file = SourceFile(source)
    node = next((each.node for each in file.functions() if each.qualname == wanted), None)
    if node is None:
        return []
    return [line.strip() for line in file.lines[node.lineno : node.end_lineno] if name.search(line)]


def encode(tokenizer: Encoder, text: str, most: int = MAX_FAILURE) -> tuple[int, ...]:
    """At most `most` ids; a long message is cut to leave room for the calls."""
    if not text:
        return ()
    message, _, rest = text.partition("\n")
    ids = tokenizer.encode(message[:_LONG])[:MAX_MESSAGE]
    if rest:
        ids += tokenizer.encode("\n" + rest[:_LONG])
    return tuple(ids[:most])
