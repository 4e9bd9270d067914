"""`diffufix chat`: a conversation with an instruct model, one answer with -m or from a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.config import Settings, load_settings
from diffufix.errors import DiffufixError, UsageError

if TYPE_CHECKING:
    from diffufix.assistant.session import Answer, ChatSession
    from diffufix.completion.types import Speech

HELP = """\
@FILE in a message attaches a file of this folder.
/run N           run block N in the sandbox
/save N FILE     write block N; FILE! overwrites
/again           another answer to the last message
/new             forget the conversation
/help, /quit     this; the end (or Ctrl-D)
\"\"\" on a line of its own begins and ends a message of several lines. Ctrl-C stops an answer."""


def chat(
    message: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--message",
            metavar="TEXT",
            help="Ask this, print the answer, and end.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "-f",
            "--file",
            metavar="PATH",
            help="Attach a file; may be repeated.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="With -m: run the blocks, too.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="With -m: write the first block to this file.", show_default=False
        ),
    ] = None,
    system: Annotated[
        str, typer.Option(metavar="TEXT", help="What the model is told before everything.")
    ] = "",
    temperature: Annotated[float, typer.Option(min=0, metavar="X", help="0: greedy.")] = 0.3,
    max_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Masks of an answer.")] = 256,
    tokens_per_step: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Tokens committed in a step: faster, worse."),
    ] = 1,
    model: options.Model = None,
    adapter: options.Adapter = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    max_cost: options.MaxCost = None,
    sandbox: options.Sandbox = None,
    python: options.Python = None,
    seed: options.Seed = None,
    json: options.Json = None,
    yes: options.Yes = None,
) -> None:
    """Talk with an instruction-tuned checkpoint about code. mini cannot: it fills holes.

    Examples:
      diffufix chat                                            # several turns
      diffufix chat -m "What is wrong in @shop/dates.py?"      # one answer
      diffufix chat -f fix.patch -m "Is this right?" --json > answer.json
    """
    given = {
        "model": model, "adapter": adapter, "device": device, "dtype": dtype,
        "max_cost": max_cost, "sandbox": sandbox, "python": python, "seed": seed, "json": json,
        "yes": yes,
    }  # fmt: skip
    from diffufix.cli.consent import settled

    settings = settled(load_settings(Path.cwd(), (), given))
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    if json and message is None and not piped.strip():
        raise UsageError("--json answers one message.", "Give it with -m, or through a pipe.")
    if message is None and not piped.strip() and not sys.stdin.isatty():
        raise UsageError("There is no message.", "Give one with -m, or through the pipe.")
    from diffufix.completion.types import SamplingPlan

    plan = SamplingPlan(temperature, 0.95, max_tokens, tokens_per_step, seed=settings.seed, batch=1)
    session = _session(settings, plan, system)
    if message is None and not piped.strip():
        _talk(session, settings, file or [])
        _spent(session)
        return
    text, files = (message, {"stdin": piped}) if message is not None else (piped, {})
    files = files if piped.strip() else {}
    _once(session, settings, text or "", files, file or [], run, save)


def _session(settings: Settings, plan: Any, system: str) -> ChatSession:
    from diffufix.assistant.session import ChatSession
    from diffufix.completion.completer import open_completer

    if not settings.json:
        echo("loading the model ...", err=True)
    return ChatSession(open_completer(settings), plan, system)


# -- one answer ------------------------------------------------------------------------------------


def _once(
    session: ChatSession, settings: Settings, text: str, piped: dict[str, str],
    names: Sequence[str], run: bool, save: Path | None,
) -> None:  # fmt: skip
    from diffufix.assistant.files import attached, named
    from diffufix.assistant.files import save as save_block
    from diffufix.assistant.running import run_block
    from diffufix.report import jsondoc
    from diffufix.report.chat import facts, ran_lines

    files = attached([*names, *named(text, Path.cwd())], Path.cwd()) | piped
    answer = _answer(session, text, files)
    if save is not None:
        if not answer.blocks:
            _shown(settings, answer)
            raise UsageError("The answer has no code block to save.")
        save_block(answer.blocks[0], save)
    ran = [run_block(block, settings) for block in answer.blocks] if run else []
    if settings.json:
        document = {
            "model": {"name": session.completer.name, "hash": session.completer.weights},
            "answer": answer.document(),
            "runs": [each.document() for each in ran],
            "saved": str(save) if save else None,
            "spent": session.completer.spent(),
            "turns": [{"role": who, "content": said} for who, said in session.turns],
        }
        sys.stdout.write(jsondoc.dump(jsondoc.document(document)))
        return
    _shown(settings, answer)
    for number, each in enumerate(ran, 1):
        echo(f"\nblock {number}:")
        echo("\n".join(ran_lines(each)))
    if save is not None:
        echo(f"written: {save}", err=True)
    echo(facts(answer), err=True)
    _spent(session)


def _spent(session: ChatSession) -> None:
    from diffufix.report.result import took

    if spent := session.completer.spent():
        echo(took(session.completer.name, spent), err=True)


def _shown(settings: Settings, answer: Answer) -> None:
    if not settings.json:
        echo(answer.text)


def _answer(session: ChatSession, text: str, files: dict[str, str]) -> Answer:
    """With the decoding shown where stderr is a terminal."""
    if not sys.stderr.isatty():
        return session.ask(text, files)
    from rich.console import Console

    from diffufix.report.chat import Decoding

    with Decoding(Console(file=sys.stderr, highlight=False)) as watch:
        return session.ask(text, files, watch)


# -- several turns ---------------------------------------------------------------------------------


def _talk(session: ChatSession, settings: Settings, names: Sequence[str]) -> None:
    from rich.console import Console

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # history and editing for input()

    console = Console(highlight=False)
    console.print(f"{session.completer.name}. /help tells what you can do.", style="dim")
    state = _Talk(session, settings, console, list(names))
    while True:
        try:
            line = _message()
        except (EOFError, KeyboardInterrupt):
            echo()
            return
        if not line.strip():
            continue
        if line.strip() in ("/quit", "/exit"):
            return
        try:
            state.take(line.strip())
        except KeyboardInterrupt:
            console.print("stopped", style="yellow")
        except DiffufixError as error:
            console.print(error.message, style="red", markup=False)
            if error.hint:
                console.print(error.hint, style="dim", markup=False)


def _message() -> str:
    line = input("you> ")
    if line.strip() != '"""':
        return line
    lines = []
    while (line := input("...  ")).strip() != '"""':
        lines.append(line)
    return "\n".join(lines)


class _Talk:
    """What a line of the user does. `names` are attached to the next message."""

    def __init__(
        self, session: ChatSession, settings: Settings, console: Any, names: list[str]
    ) -> None:
        self.session, self.settings, self.console, self.names = session, settings, console, names
        self.blocks: list[str] = []
        self.last: tuple[str, dict[str, str]] | None = None  # what was asked,
        self.before: list[Speech] = []  # and the turns before it

    def take(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        if not command.startswith("/"):
            self._ask(line)
        elif command == "/run":
            self._run(rest)
        elif command == "/save":
            self._save(rest)
        elif command == "/new":
            self.session.forget()
            self.last = None
            self.console.print("The conversation is forgotten.", style="dim")
        elif command == "/again":
            if self.last is None:
                raise UsageError("Nothing was asked yet.", "Ask first; /again asks it once more.")
            self.session.turns = self.before
            self._answer(*self.last)
        elif command == "/help":
            self.console.print(HELP, markup=False)
        else:
            raise UsageError(f"There is nothing called {command}.", "/help tells what there is.")

    def _ask(self, text: str) -> None:
        from diffufix.assistant.files import attached, named

        files = attached([*self.names, *named(text, Path.cwd())], Path.cwd())
        self.names = []
        self._answer(text, files)

    def _answer(self, text: str, files: dict[str, str]) -> None:
        from diffufix.report.chat import Decoding, answered

        self.last, self.before = (text, files), self.session.turns
        with Decoding(self.console) as watch:
            answer = self.session.ask(text, files, watch)
        first = len(self.blocks) + 1
        self.blocks += answer.blocks
        answered(self.console, answer, lambda index: first + index)

    def _block(self, word: str) -> str:
        if not word.isdigit() or not 1 <= int(word) <= len(self.blocks):
            raise UsageError(
                f"There is no block {word or 'without a number'}.",
                f"There are {len(self.blocks)} so far." if self.blocks else "No answer had one.",
            )
        return self.blocks[int(word) - 1]

    def _run(self, rest: str) -> None:
        from diffufix.assistant.running import run_block
        from diffufix.report.chat import ran_lines

        ran = run_block(self._block(rest.strip()), self.settings)
        echo("\n".join(ran_lines(ran)))

    def _save(self, rest: str) -> None:
        from diffufix.assistant.files import save

        number, _, name = rest.strip().partition(" ")
        block = self._block(number)
        if not name.strip("! "):
            raise UsageError("/save needs a file.", "/save 1 shop/new.py")
        path = Path(name.strip().rstrip("!"))
        save(block, path, force=name.strip().endswith("!"))
        self.console.print(f"written: {path}", style="dim", markup=False)
