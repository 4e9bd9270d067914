"""Settings of one invocation: command line > environment > pyproject.toml > defaults.

Reads the environment (`DIFFUFIX_*`) and `[tool.diffufix]` of the nearest parent pyproject.toml;
writes nothing. Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from diffufix import trusted
from diffufix.errors import UsageError
from diffufix.project import find_member, find_root, posix, pyproject_of, read_toml, relocate

SANDBOXES = ("auto", "docker", "e2b", "local")
ENGINES = ("ssh://", "tcp://", "unix://")  # how addresses of container engines begin
FORMATS = ("text", "json", "junit", "github")
DTYPES = ("auto", "float32", "bfloat16", "float16", "int8", "int4")
ENV_PREFIX = "DIFFUFIX_"
#: Variables that diffufix or its tests set for child processes, and a secret; never settings.
PRIVATE_ENV = (
    *("DIFFUFIX_INTERNAL_", "DIFFUFIX_INSIDE", "DIFFUFIX_COLLECTOR", "DIFFUFIX_UPDATE_"),
    "DIFFUFIX_SERVE_",
)
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def _option(default: Any, **rules: Any) -> Any:
    """A setting that environment and pyproject.toml may give; `rules` bound its values."""
    return field(default=default, metadata={"option": True, **rules})


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Units: seconds. Paths in `pytest_args` are relative to `folder`.

    `folder` (POSIX, relative to `root`) is where the tests are started: empty for the root, else
    the member of a larger project in which the command was given.
    """

    root: Path
    folder: str = ""
    pytest_args: tuple[str, ...] = ()
    #: The project's interpreter; empty: the active venv, `.venv`, then our own.
    python: str = _option("")
    #: `mini`, a checkpoint folder, a hub name or an engine (PROVIDER:MODEL), several between
    #: commas; empty: `mini` on a CPU, DiffuCoder on a GPU.
    model: str = _option("")
    #: Dollars that a remote engine may cost in one run (estimated by its list price).
    max_cost: float = _option(0.5, least=0.0)
    #: What was trained on top of it: a name, a folder, `none`; empty: what is adopted.
    adapter: str = _option("")
    #: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`, ...
    device: str = _option("auto")
    #: Of the weights; `auto`: bfloat16 on a GPU and for large models, else float32. `int8` and
    #: `int4` are of the linear layers, by torchao.
    dtype: str = _option("auto", choices=DTYPES)
    #: Agree to a download without being asked.
    yes: bool = _option(False)
    #: The code that may be changed: `path::qualname`, `path` or `qualname`; empty: all suspects.
    function: str = _option("")
    #: Where code under test runs; `auto`: a container, else bubblewrap, never without a boundary.
    #: A container engine's address, such as ssh://HOST, is a place, too; several of containers
    #: stand between commas.
    sandbox: str = _option("auto", choices=SANDBOXES, places=True)
    #: A ready container image (an E2B template with `e2b`); empty: made from the project.
    image: str = _option("")
    #: What the project's image is built on; empty: the official Python image.
    base_image: str = _option("")
    #: The project's own Dockerfile for its tests, relative to the root; empty: none.
    dockerfile: str = _option("")
    #: Variables that the tests need and that look like secrets, or that a container is to have;
    #: names between commas.
    pass_env: str = _option("")
    #: An OCI runtime of the engine, such as `runsc`; empty: the engine's default.
    runtime: str = _option("")
    #: Seconds from the start to the result: running the tests, searching, confirming. Waiting for a
    #: model that is downloaded or loaded does not count.
    budget: float = _option(60.0, above=0.0)
    #: At most this many candidates are run; 0: as many as the budget allows.
    candidates: int = _option(0, least=0)
    #: Where candidates are tested: `ray`, `ray:ADDRESS`; empty: on this machine.
    on: str = _option("", form=r"(ray(:\S+)?)?", such="`ray` or `ray:ADDRESS`")
    #: Processes that run candidates at once; 0: one per core.
    workers: int = _option(0, least=0)
    seed: int = _option(0, least=0)
    #: Log groups of candidates to learn from, in a small share of the budget.
    collect: bool = _option(True)
    #: What rewards are made of, beside the defaults: `size=0`, `package.module:function=0.5`, ...
    rewards: str = _option("")
    #: Use what the project brings along that acts outside of a sandbox; the user's word only.
    trust: bool = _option(False, own=True)
    #: A patch is called a repair from this probability of being right on.
    threshold: float = _option(0.8, least=0.0, most=1.0)
    #: `plausible`: a patch that passes the tests is good enough, whatever speaks for it.
    accept: str = _option("repaired", choices=("repaired", "plausible"))
    #: Search to the end of the budget and offer every patch that passes.
    all: bool = False
    #: Expressions that must be true with the patch, over the names of the edited module.
    expect: tuple[str, ...] = ()
    apply: bool = _option(False)
    #: With `apply`: write although the target files have uncommitted changes.
    force: bool = _option(False)
    #: The patch is to be committed, which `force` does not help.
    commit: bool = False
    #: What stdout gets: text, one JSON document, JUnit's XML, annotations of a GitHub workflow.
    output_format: str = _option("text", choices=FORMATS)
    #: The same as the format `json`.
    json: bool = _option(False)
    quiet: bool = _option(False)
    verbose: bool = _option(False)
    #: Start over, though an interrupted run of the same command could be gone on with.
    fresh: bool = _option(False)
    #: Why `model` is not the one that suits the machine, for the user; set by cli/consent.py.
    model_note: str = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.metadata.get("option"):
                _check(item.name, getattr(self, item.name), item.metadata)


def load_settings(
    cwd: Path,
    pytest_args: tuple[str, ...] = (),
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force for a command started in `cwd`.

    `overrides` come from the command line; a value of None means "not given".
    Raises UsageError for unknown keys and values out of range.
    """
    cwd = cwd.resolve()
    root = find_root(cwd)
    values = read_pyproject(cwd)
    said = read_environment(os.environ if environ is None else environ)
    said |= {key: value for key, value in (overrides or {}).items() if value is not None}
    brought = brought_along(root, {k: v for k, v in values.items() if k not in said})
    trusted.require(root, brought, bool(said.get("trust")))
    values |= said
    if values.get("json") and "output_format" not in said:
        values["output_format"] = "json"
    values["json"] = values.get("output_format", "text") == "json"
    member = find_member(cwd, root)
    folder = "" if member == root else posix(member, root)
    return Settings(root, folder, pytest_args=relocate(pytest_args, cwd, member), **values)


@dataclass(frozen=True)
class Explained:
    """A setting's value, and where that comes from."""

    name: str
    value: Any
    default: Any
    origin: str  # "default", a path with the table, or a variable
    variable: str  # by which the environment gives it

    @property
    def shown(self) -> str:
        """As pyproject.toml would have it."""
        return json.dumps(self.value, ensure_ascii=False)


def explained(
    cwd: Path, names: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> list[Explained]:
    """The settings of these names, or all, as a command started in `cwd` would have them.

    Raises UsageError for what cannot be a setting or its value.
    """
    cwd = cwd.resolve()
    written, path = read_pyproject(cwd), pyproject_of(cwd)
    said = read_environment(os.environ if environ is None else environ)
    Settings(find_root(cwd), **(written | said))  # says what is out of range
    rows = []
    for name in names or option_names():
        option = _known(name.replace("-", "_"), f"the setting `{name}`")
        key, variable = option.name, ENV_PREFIX + option.name.upper()
        origin = variable if key in said else f"[tool.diffufix] in {path}"
        origin = origin if key in said or key in written else "default"
        value = (written | said).get(key, option.default)
        rows.append(Explained(key, value, option.default, origin, variable))
    return rows


def brought_along(root: Path, values: Mapping[str, Any]) -> dict[str, str]:
    """What a project's own settings would do outside of a sandbox, in words -> its content."""
    found = {}
    if python := str(values.get("python", "")):
        found[f"python = {python!r} in pyproject.toml, a program that would be run"] = python
    if "://" in (place := str(values.get("sandbox", ""))):
        found[f"sandbox = {place!r} in pyproject.toml, machines that code would be sent to"] = place
    if values.get("sandbox") == "local":
        found["sandbox = 'local' in pyproject.toml, where no container is around the code"] = ""
    if runtime := str(values.get("runtime", "")):
        found[f"runtime = {runtime!r} in pyproject.toml, which runs the containers"] = runtime
    model = str(values.get("model", ""))
    if ":" in model:
        found[f"model = {model!r} in pyproject.toml, an engine that code would be sent to"] = model
    if on := str(values.get("on", "")):
        found[f"on = {on!r} in pyproject.toml, a cluster that code would be sent to"] = on
    rewards = str(values.get("rewards", ""))
    for part in filter(None, (piece.partition("=")[0].strip() for piece in rewards.split(","))):
        if ":" in part:
            module = part.partition(":")[0].replace(".", "/")
            content = rewards + "".join(_content(root / f"{module}{end}") for end in _ENDS)
            found[f"the reward function {part} in pyproject.toml, which would be imported"] = (
                content
            )
    return found


_ENDS = (".py", "/__init__.py")


def _content(path: Path) -> str:
    try:
        return trusted.read_regular(path)
    except (OSError, ValueError):
        return ""


def read_pyproject(cwd: Path) -> dict[str, Any]:
    """`[tool.diffufix]` of the nearest pyproject.toml at or above `cwd`; empty without one."""
    path = pyproject_of(cwd)
    if path is None:
        return {}
    try:
        table = read_toml(path).get("tool", {}).get("diffufix", {})
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "Correct the file.") from error
    values = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        option = _known(name, f"`{key}` in [tool.diffufix] of {path}")
        if option.metadata.get("own"):
            raise UsageError(
                f"`{key}` in [tool.diffufix] of {path} is not the project's to say.",
                "Remove it; give --trust on the command line.",
            )
        values[name] = _convert(name, value, option.default, f"`{key}` in {path}")
    return values


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Settings from `DIFFUFIX_*`; a variable that is set but empty counts as not set."""
    values = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable.startswith(PRIVATE_ENV):
            continue
        if not text:
            continue
        name = variable.removeprefix(ENV_PREFIX).lower()
        option = _known(name, f"the environment variable {variable}", ENV_PREFIX)
        values[name] = _convert(name, text, option.default, variable)
    return values


def option_names() -> tuple[str, ...]:
    """The settings that environment and pyproject.toml may give."""
    return tuple(item.name for item in fields(Settings) if item.metadata.get("option"))


def _known(name: str, where: str, prefix: str = "") -> Any:
    for item in fields(Settings):
        if item.name == name and item.metadata.get("option"):
            return item
    shown = [prefix + known.upper() if prefix else known for known in option_names()]
    wanted = prefix + name.upper() if prefix else name
    near = difflib.get_close_matches(wanted, shown, n=1, cutoff=0.0)
    raise UsageError(
        f"diffufix does not know {where}.",
        f"Did you mean `{near[0]}`? Known: {', '.join(shown)}.",
    )


def _convert(name: str, value: Any, default: Any, where: str) -> Any:
    """`value` as the type of `default`; text is parsed, as the environment has only text."""
    kind = type(default)
    if kind is bool and isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    if kind in (int, float) and isinstance(value, (int, float, str)) and type(value) is not bool:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if kind is float and number == number:
            return number
        if kind is int and number.is_integer():
            return int(number)
    if type(value) is kind:
        return value
    raise UsageError(f"{where} must be {_NOUNS[kind]}, not {value!r}.", f"Correct `{name}`.")


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _check(name: str, value: Any, rules: Mapping[str, Any]) -> None:
    choices = rules.get("choices")
    if rules.get("places"):
        *others, value = str(value).split(",")
        for other in others:
            _check(name, other, {"choices": ("docker", "e2b"), "places": True})
        choices = ("docker", "e2b") if others else choices
        if value.startswith(ENGINES) and not value.endswith("://"):
            return
    if choices and value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.0)[0]
        raise UsageError(
            f"`{name}` cannot be {value!r}.",
            f"Did you mean `{near}`? It is one of {', '.join(choices)}.",
        )
    if "form" in rules and not re.fullmatch(rules["form"], str(value)):
        raise UsageError(f"`{name}` cannot be {value!r}.", f"It is {rules['such']}.")
    if "above" in rules and not rules["above"] < value < float("inf"):
        raise UsageError(f"`{name}` must be above {rules['above']:g}, not {value}.")
    if "least" in rules and value < rules["least"]:
        raise UsageError(f"`{name}` must be at least {rules['least']}, not {value}.")
    if "most" in rules and value > rules["most"]:
        raise UsageError(f"`{name}` must be at most {rules['most']}, not {value}.")
