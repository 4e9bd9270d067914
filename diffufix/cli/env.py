"""`diffufix env show|build`: the project's environment in the sandbox."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.cli.parsing import CliCommand, CliGroup
from diffufix.config import Settings, load_settings
from diffufix.report import jsondoc

if TYPE_CHECKING:
    from diffufix.workspace.images.types import ImagePlan

app = typer.Typer(
    cls=CliGroup,
    no_args_is_help=True,
    help="""The project's environment in the sandbox: show it, build it.

    Examples:
      diffufix env show                                    # the Dockerfile that would be built
      diffufix env build --base-image python:3.12-slim     # build it, run the tests in it twice
    """,
)

Image = Annotated[
    str | None,
    typer.Option(help="A finished container image or E2B template.", show_default="built"),
]
BaseImage = Annotated[
    str | None, typer.Option(help="The base image.", show_default="python:3.x-slim")
]
Dockerfile = Annotated[
    str | None, typer.Option(help="A Dockerfile of the project to build from.", show_default="none")
]


@app.command("show", cls=CliCommand)
def show(
    image: Image = None,
    base_image: BaseImage = None,
    dockerfile: Dockerfile = None,
    e2b: Annotated[
        bool,
        typer.Option(
            "--e2b", help="Show the E2B template's Dockerfile and the command that builds it."
        ),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            help="With --e2b: the folder to write the build context to.", show_default="none"
        ),
    ] = None,
    json: options.JsonFlag = False,
) -> None:
    """Where the environment comes from and the Dockerfile that makes it; builds nothing.

    Examples:
      diffufix env show
      diffufix env show --e2b --write template    # for E2B's command line
    """
    from diffufix.workspace.images import image_name, plan, render, template

    settings = load_settings(
        Path.cwd(), (), {"image": image, "base_image": base_image, "dockerfile": dockerfile}
    )
    wanted = plan(settings.root, settings)
    if e2b:
        name = wanted.base if wanted.ready else template.template_name(wanted)
        text = "" if wanted.ready else template.dockerfile(wanted)
        if write is not None and text:
            write.mkdir(parents=True, exist_ok=True)
            template.write_context(wanted, write)
    else:
        name = image_name(wanted)
        text = render(wanted, base=_foundation(wanted)) if wanted.steps else ""
    if json:
        document = _document(wanted, name, text)
        echo(jsondoc.dump(jsondoc.rows_document("environments", [document])), nl=False)
        return
    for line in _facts(wanted, name):
        echo(f"# {line}")
    if e2b and text:
        for line in _e2b_facts(name, write):
            echo(f"# {line}")
    if text:
        echo()
        echo(text, nl=False)


@app.command("build", cls=CliCommand)
def build(
    image: Image = None,
    base_image: BaseImage = None,
    dockerfile: Dockerfile = None,
    sandbox: Annotated[
        str | None, typer.Option(help="Where to build: docker or e2b.", show_default="docker")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build without the cache.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run the tests in the image, twice.")
    ] = True,
    json: options.JsonFlag = False,
) -> None:
    """Build the image, then see that the tests are collected in it and say the same thing twice.

    Examples:
      diffufix env build
      diffufix env build --dockerfile Dockerfile.test --no-check
    """
    from diffufix.workspace.images import plan

    given = {"image": image, "base_image": base_image, "dockerfile": dockerfile}
    settings = load_settings(Path.cwd(), (), {**given, "sandbox": sandbox})
    settings = replace(settings, sandbox="e2b" if settings.sandbox == "e2b" else "docker")
    wanted = plan(settings.root, settings)
    name = _build(settings, wanted, force, lambda line: echo(line, err=True))
    gate = None
    if check:
        from diffufix.workspace.choice import choose
        from diffufix.workspace.images.gate import check as run_gate

        echo(f"running the tests in {name}, twice", err=True)
        gate = run_gate(settings.root, choose(replace(settings, image=name, dockerfile="")))
    if json:
        document = _document(wanted, name, "") | {"gate": gate.document() if gate else None}
        echo(jsondoc.dump(jsondoc.rows_document("environments", [document])), nl=False)
        return
    sys.stdout.write(f"{name}\n")
    if gate is not None:
        ended = ", ".join(f"{count:,} {outcome}" for outcome, count in gate.outcomes.items())
        sys.stdout.write(f"{gate.tests:,} tests, the same twice: {ended}; {gate.seconds:.1f} s\n")


def _build(settings: Settings, wanted: ImagePlan, force: bool, tell: Callable[[str], None]) -> str:
    if settings.sandbox == "e2b":
        from diffufix.workspace.images.template import build_template

        return build_template(wanted, listener=tell)
    from diffufix.workspace.images import build

    return build(wanted, listener=tell, force=force)


def _foundation(wanted: ImagePlan) -> str:
    from diffufix.workspace.images.build import foundation_tag

    return foundation_tag(wanted.root, wanted.foundation) if wanted.foundation else ""


def _document(wanted: ImagePlan, name: str, text: str) -> dict[str, Any]:
    return {
        "image": name,
        "source": wanted.source,
        "why": wanted.why,
        "base": wanted.base,
        "foundation": asdict(wanted.foundation) if wanted.foundation else None,
        "python": wanted.python,
        "steps": [asdict(step) for step in wanted.steps],
        "files": sorted(wanted.files),
        "downloads": wanted.downloads,
        "notes": list(wanted.notes),
        "dockerfile": text,
    }


def _facts(wanted: ImagePlan, name: str) -> list[str]:
    built = wanted.foundation.dockerfile if wanted.foundation else ""
    lines = [
        f"image: {name}" + (" (used as it is)" if wanted.ready else ""),
        f"from: {wanted.source} ({wanted.why})",
    ]
    lines += [f"first built: {built}"] if built else []
    lines += [f"note: {note}" for note in wanted.notes]
    return lines


def _e2b_facts(name: str, folder: Path | None) -> list[str]:
    """How the template is built."""
    if folder is None:
        return [
            "diffufix builds this template itself: diffufix env build --sandbox e2b",
            "or write it to a folder for E2B's command line: --write FOLDER",
        ]
    return [
        f"written to {folder}; there, with E2B's command line:",
        f"e2b template create {name} -d e2b.Dockerfile",
    ]
