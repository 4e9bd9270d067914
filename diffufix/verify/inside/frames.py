# mypy: ignore-errors
"""Messages over a file descriptor: four bytes of length, then JSON. Touches nothing else."""

import json
import os
import struct

LIMIT = 64 * 2**20
ANY = "any"  # required of a test whose outcome does not matter


def accepts(required, outcome):
    """Whether an outcome is what is required: one of several words between bars, or anything."""
    return required == ANY or outcome in required.split("|")


def send(fd, message):
    data = json.dumps(message).encode("utf-8", "surrogatepass")
    write_all(fd, struct.pack(">I", len(data)) + data)


def receive(fd):
    """The next message; None at the end of the stream."""
    head = read_exactly(fd, 4)
    if head is None:
        return None
    (size,) = struct.unpack(">I", head)
    if size > LIMIT:
        return None
    data = read_exactly(fd, size)
    return None if data is None else json.loads(data.decode("utf-8", "surrogatepass"))


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_exactly(fd, size):
    chunks = []
    while size > 0:
        data = os.read(fd, min(size, 1 << 20))
        if not data:
            return None
        chunks.append(data)
        size -= len(data)
    return b"".join(chunks)
