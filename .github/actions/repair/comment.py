"""From `diffufix repair --json` to the action's outputs, its summary and the comment.

Usage: comment.py FOLDER, which holds diffufix.json; writes diffufix.patch and diffufix.md there
where there is a patch, and to $GITHUB_OUTPUT and $GITHUB_STEP_SUMMARY. Standard library only.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST = 60_000  # characters; GitHub takes 65,536
MOST = 20  # tests that are named
MARK = "<!-- diffufix -->"  # by which action.yml knows a comment of ours again


def fenced(text: str, language: str) -> str:
    """A block of code that nothing inside of it can end."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"


def code(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{ticks}{pad}{' '.join(text.split())}{pad}{ticks}"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def comment(result: Mapping[str, Any]) -> str:
    """The comment; empty where there is no patch."""
    patch = result.get("patch") or {}
    if not patch.get("diff"):
        return ""
    claims = result.get("claims") or {}
    green = result.get("turned_green") or []
    kept = int(claims.get("passing_as_before") or 0)
    plausible = result["status"] == "plausible"
    head = "A patch that passes the tests, and for which little speaks" if plausible else "A patch"
    verb = "passes" if len(green) == 1 else "pass"
    said = [f"### {head}: {counted(len(green), 'failing test')} {verb} with it"]
    if result.get("message"):
        said.append(result["message"])
    said.append(fenced(patch["diff"], "diff"))
    facts = []
    if result.get("probability") is not None:
        facts.append(
            f"Likely right: **{result['probability']:.0%}** (called a repair from "
            f"{result['threshold']:.0%} on)"
        )
    if kept:
        facts.append(f"{counted(kept, 'other test')} {'passes' if kept == 1 else 'pass'} as before")
    if claims.get("runs"):
        facts.append(f"confirmed in {counted(len(claims['runs']), 'run')} of the tests")
    said.append("\n".join(f"- {fact}" for fact in facts))
    said.append(listed("Tests that pass with it", green))
    said.append(listed("Still failing", claims.get("still_failing") or []))
    words = [str(words) for words in result.get("evidence") or []]
    if words:
        said.append(details("Evidence", "\n".join(f"- {code(each)}" for each in words)))
    said.append(
        "Nothing was pushed. Take it with "
        f"{code('git apply')}, or {code('diffufix repair --apply')} in a checkout."
    )
    text = "\n\n".join(part for part in said if part)
    return text if len(text) < LONGEST else "The patch is too long for a comment: see the job."


def listed(title: str, tests: list[str]) -> str:
    if not tests:
        return ""
    shown = "\n".join(f"- {code(test)}" for test in tests[:MOST])
    more = f"\n- and {len(tests) - MOST:,} more" if len(tests) > MOST else ""
    return details(f"{title} ({len(tests):,})", shown + more)


def details(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def main(folder: Path) -> None:
    result = json.loads((folder / "diffufix.json").read_text("utf-8"))
    text = comment(result)
    outputs = {"status": result["status"], "patch": ""}
    if (folder / "diffufix.html").is_file():
        outputs["report"] = str(folder / "diffufix.html")
    if text:
        (folder / "diffufix.patch").write_text(result["patch"]["diff"], "utf-8")
        (folder / "diffufix.md").write_text(f"{MARK}\n{text}", "utf-8")
        outputs["patch"] = str(folder / "diffufix.patch")
    said = text or " ".join(str(result.get(key) or "") for key in ("message", "hint"))
    with open(os.environ.get("GITHUB_OUTPUT", os.devnull), "a", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in outputs.items())
    with open(os.environ.get("GITHUB_STEP_SUMMARY", os.devnull), "a", encoding="utf-8") as file:
        file.write(said + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
