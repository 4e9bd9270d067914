"""The example: its tests are right, and every planted fault has failing tests of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = Path(__file__).parents[2] / "examples" / "shop"

#: file -> (faulty text, right text, the failing tests it explains)
FAULTS = {
    "operator": ("inventory.py", "quantity >= item.available", "quantity > item.available", 2),
    "off by one": ("text.py", "len(piece) <= width", "len(piece) < width", 2),
    "wrong name": ("dates.py", "min(self.end, self.end)", "min(self.end, other.end)", 1),
    "wrong value": ("routes.py", "best[neighbour] = length", "best[neighbour] = total", 1),
}


def failing(folder: Path) -> set[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rf"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stdout
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED")}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


def mend(shop: Path, file: str, faulty: str, right: str) -> None:
    path = shop / "shop" / file
    text = path.read_text()
    assert text.count(faulty) == 1
    path.write_text(text.replace(faulty, right))


def test_every_fault_explains_its_own_failing_tests(shop: Path) -> None:
    red = failing(shop)
    assert len(red) == sum(fault[3] for fault in FAULTS.values())
    for name, (file, faulty, right, explained) in FAULTS.items():
        mend(shop, file, faulty, right)
        still = failing(shop)
        assert still < red, name
        assert len(red - still) == explained, name
        red = still
    assert red == set()
