"""Writes the table of docs/security.md from a real run of the attacks:

    ATTACK_TABLE=table.txt pytest tests/attacks && python -m tests.attacks.table table.txt

Replaces what lies between the two marks in the document; touches nothing else.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- attacks: begin -->\n", "<!-- attacks: end -->\n"
BACKENDS = ("docker", "local+bubblewrap")


def rows(lines: list[str]) -> list[str]:
    """One row per threat: how many were tried, and what each backend said."""
    said: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for line in lines:
        backend, threat, _, state, _ = line.rstrip("\n").split("|", 4)
        said[threat][backend][state] += 1
    table = ["| threat | tried | " + " | ".join(BACKENDS) + " |", "|---|---|---|---|"]
    for threat, states in said.items():
        tried = max(sum(counts.values()) for counts in states.values())
        cells = [
            ", ".join(f"{count} {state}" for state, count in states[backend].most_common())
            or "not run"
            for backend in BACKENDS
        ]
        table.append(f"| {threat} | {tried} | " + " | ".join(cells) + " |")
    return table


def main() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    made = "\n".join(rows(lines)) + "\n"
    DOCUMENT.write_text(head + BEGIN + made + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
