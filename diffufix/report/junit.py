"""A result as JUnit's XML: a test case for every test that failed, passing if the patch mends it.

The suite's name is `diffufix`. A case that still fails carries the headline; the patch, the
evidence and the probability are properties of the suite and its `system-out`.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from diffufix.repair.types import RepairResult, Status
from diffufix.report.result import headline

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: RepairResult) -> str:
    """The document as text, in UTF-8."""
    red = tuple(dict.fromkeys([*result.turned_green, *result.still_red, *result.failing]))
    mended = set(result.turned_green) if result.status is Status.REPAIRED else set()
    failures = [test for test in red if test not in mended]
    suite = Element(
        "testsuite", name="diffufix", tests=str(len(red)), failures=str(len(failures)),
        errors="0", skipped="0", time=f"{result.seconds:.3f}",
    )  # fmt: skip
    properties = SubElement(suite, "properties")
    for name, value in _facts(result).items():
        SubElement(properties, "property", name=name, value=_clean(value))
    for test in red:
        path, _, name = test.partition("::")
        classname = path.removesuffix(".py").replace("/", ".")
        case = SubElement(suite, "testcase", classname=_clean(classname), name=_clean(name or path))
        if test not in mended:
            SubElement(case, "failure", message=_clean(_why(result, test)))
    if result.patch is not None:
        SubElement(suite, "system-out").text = _clean(result.patch.diff)
    root = Element("testsuites")
    root.append(suite)
    indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'


def _facts(result: RepairResult) -> dict[str, str]:
    facts = {"status": str(result.status), "message": headline(result)}
    if result.probability is not None:
        facts["probability"] = f"{result.probability:.4f}"
    if result.run_id is not None:
        facts["run"] = str(result.run_id)
    return facts | {f"evidence {n}": words for n, words in enumerate(result.evidence, 1)}


def _why(result: RepairResult, test: str) -> str:
    if test in result.turned_green:
        return f"Passes with the patch, which is not called a repair. {headline(result)}"
    return headline(result)


def _clean(text: str) -> str:
    """Without characters that XML cannot hold."""
    return _FORBIDDEN.sub("?", text)
