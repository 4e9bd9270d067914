"""Which request a server understands: tried on a small hole, and held to what was asked.

Some servers take a request and answer it in another sense: a `suffix` is appended to the text
(TGI), or not read at all (llama.cpp's `/v1/completions`); a model without marks for filling in the
middle takes them as words. None of that is an error there. So an answer counts only where the text
to the right was read: the server's own count of tokens grows with it, or the text speaks of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffufix.engines.client import Client, Refused
from diffufix.engines.marks import FimMarks, marks_of
from diffufix.engines.shapes import SHAPES, RequestShape, usage_of
from diffufix.engines.types import EngineFill, FillRequest, Usage
from diffufix.errors import PrerequisiteError

LEFT = 'def wall_area(width, height):\n    """Of a wall, in square metres."""\n    '
WORD = "quantity_of_paint"  # which only the right side says
RIGHT = (
    f"\n    return {WORD}\n\n\ndef fence_length(width, height):\n"
    '    """All around a field, in metres."""\n    return 2 * width + 2 * height\n'
)
SHORT = "\n"
TOKENS = 24  # of a fill
READ = 12  # tokens at least that RIGHT is more than SHORT, in any tokenizer


@dataclass(frozen=True)
class FoundShape:
    """How holes are to be asked for. `note`: what could not be made sure, in words."""

    shape: RequestShape
    marks: FimMarks | None
    logprobs: bool
    note: str = ""


def probe(client: Client) -> FoundShape:
    """The first of the provider's shapes that fills a hole. Raises PrerequisiteError (none does)
    and EngineStopped (the server cannot be asked)."""
    name, provider = client.name, client.provider
    marks, refusals = marks_of(name.model), []
    for each in provider.shapes:
        shape = _with_path(SHAPES[each], provider.paths.get(each))
        if each == "raw" and marks is None:
            refusals.append(f"raw: no marks are known of a model called {name.model!r}")
            continue
        try:
            found = _tried(client, shape, marks, provider.logprobs)
        except Refused as error:
            refusals.append(f"{each}: {error}")
            continue
        if isinstance(found, FoundShape):
            return found
        refusals.append(f"{each}: {found}")
    raise PrerequisiteError(
        f"{name.text} at {name.url} does not fill holes ({'; '.join(refusals)}).",
        "The model has to be one for filling in the middle, such as qwen2.5-coder (base).",
    )


def _with_path(shape: RequestShape, path: str | None) -> RequestShape:
    return RequestShape(shape.name, path, shape.body, shape.read) if path else shape


def _tried(
    client: Client, shape: RequestShape, marks: FimMarks | None, logprobs: bool
) -> FoundShape | str:
    """The shape, or what is wrong with the answer. Raises Refused."""
    fill, usage = _ask(client, shape, marks, logprobs, RIGHT)
    if fill is None:
        return "it gives no text"
    text = fill.text
    if RIGHT.strip()[-40:] in text and text.rstrip().endswith(RIGHT.strip()[-20:]):
        return "it appends the text to the right instead of filling the hole"
    if marks is not None and any(mark.strip() in text for mark in marks.all):
        return "the model writes the marks for filling in the middle as words"
    if shape.name == "raw":
        assert marks is not None
        return _known_marks(client, shape, marks, logprobs, text)
    other, less = _ask(client, shape, marks, logprobs, SHORT)
    if usage.prompt is not None and less.prompt is not None:
        if usage.prompt - less.prompt < READ:
            return "it does not read the text to the right"
        return FoundShape(shape, marks, logprobs, _doubt(text))
    if WORD in text:
        return FoundShape(shape, marks, logprobs)
    if other is not None and (other.text, other.logp) == (text, fill.logp):
        return "it does not read the text to the right"
    return FoundShape(shape, marks, logprobs, _doubt(text))


def _known_marks(
    client: Client, shape: RequestShape, marks: FimMarks, logprobs: bool, text: str
) -> FoundShape | str:
    """Marks are one token each where the server knows them as such."""
    body = shape.body(client.name.model, FillRequest("x", "x", 1, 0.0), marks, logprobs)
    assert body is not None
    counts = []
    for times in (1, 17):
        mark = marks.middle.strip() or marks.prefix.strip()
        document = client.post(shape.path, body | {"prompt": "x" + mark * times}, 1)
        usage = usage_of(document)
        client.count(usage, body, "")
        counts.append(usage.prompt)
    few, many = counts
    if few is not None and many is not None and many - few > 16:
        return "the model takes the marks for filling in the middle as words"
    return FoundShape(shape, marks, logprobs, _doubt(text))


def _doubt(text: str) -> str:
    if WORD in text:
        return ""
    return "its answer to a small hole does not fit what stands to the right of it"


def _ask(
    client: Client, shape: RequestShape, marks: FimMarks | None, logprobs: bool, right: str
) -> tuple[EngineFill | None, Usage]:
    request = FillRequest(LEFT, right, TOKENS, 0.0)
    body = shape.body(client.name.model, request, marks, logprobs)
    assert body is not None
    body |= client.provider.extra
    document = client.post(shape.path, body, TOKENS)
    try:
        fills = shape.read(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Refused(200, f"an answer of another form ({error})") from error
    usage = usage_of(document)
    client.count(usage, body, fills[0].text if fills else "")
    return (fills[0] if fills else None), usage
