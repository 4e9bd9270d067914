# mypy: ignore-errors
"""What an exception says: in one line, and at length as pytest tells it, at a fraction of the cost.

pytest parses the file of every frame to find where a statement begins, which can take longer than
all tests. Here lines are shown as they are, of the project's files alone.
"""

import linecache
import textwrap
import traceback

MAX_MESSAGE = 500
FRAMES = 12  # that are shown
LINES = 40  # of one function
CAUSES = 3
BETWEEN = "\n\nThe above exception led to this one:\n\n"


def one_line(error):
    try:
        text = str(error)
    except Exception as broken:
        text = f"<unprintable: {type(broken).__name__}>"
    name = type(error).__name__
    if name == "Failed" and text:  # pytest.fail and our deadline
        return " ".join(text.split())[:MAX_MESSAGE]
    return " ".join((name + ": " + text if text else name).split())[:MAX_MESSAGE]


def first_line(text):
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:MAX_MESSAGE]


def at_length(error, file_name):
    """Functions from their first line to the one that was executed (`>`), then the message (`E`),
    what caused it before; `file_name` gives the project's name of a file, None for others."""
    told = []
    while error is not None and len(told) <= CAUSES:
        told.append(_at_length(error, file_name))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return BETWEEN.join(reversed(told))


def _at_length(error, file_name):
    frames = [
        (frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if file_name(frame.f_code.co_filename) is not None
    ]
    if not frames:
        shown = traceback.format_exception(type(error), error, error.__traceback__, chain=False)
        return "".join(shown)
    parts = []
    for code, line in frames[-FRAMES:]:
        parts += [
            *_lines(code, line),
            "",
            f"{file_name(code.co_filename)}:{line}: in {code.co_name}",
        ]
    said = "".join(traceback.format_exception_only(type(error), error))
    message = said.strip().removeprefix("AssertionError: ")
    parts[-2:-2] = [f"E   {line}" for line in message.splitlines()]
    return "\n".join(parts)


def _lines(code, last):
    first = min(code.co_firstlineno, last)
    lines = linecache.getlines(code.co_filename)[first - 1 : last]
    shown = textwrap.dedent("".join(lines)).splitlines()
    if len(shown) > LINES:
        shown[1 : 1 - LINES] = ["..."]
    return [f"    {line}".rstrip() for line in shown[:-1]] + [f">   {line}" for line in shown[-1:]]
