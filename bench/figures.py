"""Pictures of a real repair in a terminal, light and dark, as SVG: what README and the docs show.

    python bench/figures.py [--out docs/figures] [--diffufix PATH] [--python PATH]

Runs `diffufix repair` on a copy of examples/shop in tmux and draws what the terminal shows: while
the search runs (`live`), and at the end (`repair`). Then all four faults of the shop, for the
picture of the search (`search`) from the page of that run. Nothing is made up; where the first
repair fails, no picture is written. Needs tmux. `page-*.png` is not drawn here: it is what a
browser shows of the page of a run (`--report`), light and dark, 1000 pixels wide, cut at 2300.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
TESTS = "tests/test_dates.py"
COLUMNS, ROWS = 96, 60
LONGEST = 400  # seconds
MASK = "▒"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def theme(back: str, text: str, colours: str) -> TerminalTheme:
    """`colours` are black, red, green, yellow, blue, magenta, cyan, white."""

    def rgb(code: str) -> tuple[int, int, int]:
        return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)

    eight = [rgb(code) for code in colours.split()]
    return TerminalTheme(rgb(back), rgb(text), eight, eight)


THEMES = {
    "light": theme(
        "#ffffff", "#24292f",
        "#24292f #b3261e #14713c #7a4d00 #0b5cad #8250df #0a6270 #57606a",
    ),
    "dark": theme(
        "#12161c", "#e4e8ee",
        "#8b949e #ff8087 #6fdc94 #f0b766 #79b8ff #c4a2ff #6fd3e3 #c9d1d9",
    ),
}  # fmt: skip


class Terminal:
    """A tmux session of its own server; `screen` is what it shows, with colours."""

    def __init__(self, folder: Path, command: str) -> None:
        self.name = f"figures-{secrets.token_hex(4)}"
        size = ("-x", str(COLUMNS), "-y", str(ROWS), "-c", str(folder))
        shell = "env PS1='$ ' bash --norc --noprofile"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-s", "it", *size, shell)
        self._tmux("send-keys", "-t", "it", f"clear; {command}; echo $? > done", "Enter")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.name, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout

    def screen(self) -> str:
        return self._tmux("capture-pane", "-e", "-p", "-t", "it").rstrip()

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self.name, "kill-server"], capture_output=True, check=False)


def run(diffufix: Path, python: Path) -> tuple[str, str]:
    """(the screen while the search runs, the screen at the end)."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "shop")
        shutil.copytree(ROOT / "examples" / "shop", folder)
        shown = f"diffufix repair {TESTS}"
        # What is typed has the paths of this machine; what is drawn has the command alone.
        typed = f"{diffufix} repair {TESTS} --model mini --python {python}"
        terminal = Terminal(folder, typed)
        try:
            live, began = "", time.monotonic()
            while not (folder / "done").is_file():
                if time.monotonic() - began > LONGEST:
                    sys.exit("The repair did not end.")
                time.sleep(0.5)
                now = terminal.screen()
                if MASK in now and "tried" in now:
                    live = now
            time.sleep(0.5)
            code, end = (folder / "done").read_text().strip(), terminal.screen()
        finally:
            terminal.close()
    if code != "0":
        sys.exit(f"The repair ended with {code}:\n{_ANSI.sub('', end)}")
    return cleaned(live, shown), cleaned(end, shown)


def cleaned(screen: str, command: str) -> str:
    """The screen with the command as a reader would type it, without the prompt that follows."""
    lines = screen.split("\n")
    plain = [_ANSI.sub("", line) for line in lines]
    first = next((n for n, line in enumerate(plain) if line.startswith("with ")), None)
    body = lines[first + 1 :] if first is not None else lines
    while body and _ANSI.sub("", body[-1]).strip() in ("", "$"):
        body.pop()
    return "\n".join([f"$ {command}", *body])


def search_svg(page: str) -> str:
    """The picture of the search in the page of a run, with the page's colours."""
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    pattern = r'<svg viewBox="[^"]*" role="img" aria-labelledby="chart-words">.*?</svg>'
    drawn = re.search(pattern, page, re.S)
    if style is None or drawn is None:
        sys.exit("The page has no picture of a search.")
    rules = style[1]
    dark = r"(?:@media \(prefers-color-scheme: dark\) \{\s*)?"
    roots = re.findall(dark + r":root \{.*?\}\s*\}?", rules, re.S)
    named = (".grid", ".axis", ".s-")
    used = [line for line in rules.splitlines() if line.startswith(named)]
    font = "text { font-family: system-ui, sans-serif; } svg { background: var(--page); }"
    css = "\n".join([*roots, *used, font])
    start = '<svg xmlns="http://www.w3.org/2000/svg" '
    return (
        drawn[0].replace("<svg ", start, 1).replace("</title>", f"</title><style>{css}</style>", 1)
    )


def search(diffufix: Path, python: Path) -> str:
    """The page of a run over all of the shop."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "shop")
        shutil.copytree(ROOT / "examples" / "shop", folder)
        command = [str(diffufix), "repair", "--model", "mini", "--python", str(python)]
        command += ["--report", "it.html"]
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        return (folder / "it.html").read_text("utf-8")


def svg(screen: str, title: str, colours: TerminalTheme) -> str:
    console = Console(record=True, width=COLUMNS, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Text.from_ansi(screen), soft_wrap=True)
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.S)
    template = re.sub(r"<!--.*?-->\s*", "", template, flags=re.S)
    template = template.replace("Fira Code, monospace", "ui-monospace, DejaVu Sans Mono, monospace")
    made = console.export_svg(title=title, theme=colours, code_format=template, unique_id="t")
    # Fonts are not fetched: the picture looks alike wherever it is shown.
    assert "http" not in made.replace('xmlns="http://www.w3.org/2000/svg"', "")
    return re.sub(r"[ \t]+$", "", made, flags=re.M)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(sys.executable).parent
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    parser.add_argument("--diffufix", type=Path, default=here / "diffufix")
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    options = parser.parse_args()
    live, end = run(options.diffufix.absolute(), options.python.absolute())
    options.out.mkdir(parents=True, exist_ok=True)
    for name, screen in (("live", live), ("repair", end)):
        for kind, colours in THEMES.items():
            if screen:
                path = options.out / f"{name}-{kind}.svg"
                path.write_text(svg(screen, "diffufix", colours), "utf-8")
                print(path)
    path = options.out / "search.svg"
    path.write_text(search_svg(search(options.diffufix.absolute(), options.python.absolute())))
    print(path)


if __name__ == "__main__":
    main()
