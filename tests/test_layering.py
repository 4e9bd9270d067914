"""The two import rules of DESIGN.md, read from the sources: who may know whom, and who may know
torch. Imports inside functions count for the first rule and not for the second."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Rooms that deal in text and rooms that deal in ids; the two sets never import each other.
TEXT = {"testing", "localize", "masking", "verify", "sandbox", "store"}
IDS = {"sampler", "model"}
#: Rooms by height; imports go down, or stay within the room or the text rooms' set.
LEVELS = [
    {"cli", "report", "__main__"},
    {"train", "evaluation"},
    {"repair", "generate"},
    {"trust"},
    TEXT | IDS,
    {"config", "errors"},
]
#: Within one level these may look at each other, in this direction.
ALLOWED_SIDEWAYS = (
    {("cli", "report"), ("__main__", "cli"), ("generate", "repair"), ("sampler", "model")}
    | {("evaluation", "train"), ("config", "errors")}
    | {(a, b) for a in TEXT for b in TEXT}
)
HEAVY_EVERYWHERE = {"docker", "e2b", "e2b_code_interpreter", "transformers"}
TORCH_ROOMS = IDS | {"train"}
#: What runs inside the project's interpreter may import besides the standard library.
INSIDE_ALLOWED = {"pytest", "_pytest", "pluggy", "coverage"}
#: The reporter's files lie beside the recorder's in a sandbox.
INSIDE_ALLOWED |= {"_diffufix_reporter"}


def sources() -> list[Path]:
    return sorted([*(ROOT / "diffufix").rglob("*.py"), *(ROOT / "train").rglob("*.py")])


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "train" if parts[0] == "train" else parts[1]


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Every imported module's absolute name, its line, and whether it is at module level."""
    relative = path.relative_to(ROOT).with_suffix("").parts
    package = ["diffufix", *relative[:-1]] if relative[0] == "train" else list(relative[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def visit(node: ast.AST, top: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, child.lineno, top
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*base, *filter(None, [child.module])])
                for alias in child.names:
                    yield f"{module}.{alias.name}", child.lineno, top
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from visit(child, False)
            else:
                function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from visit(child, top and not function)

    yield from visit(tree, True)


def level(room: str) -> int:
    return next(index for index, rooms in enumerate(LEVELS) if room in rooms)


def may_import(room: str, other: str) -> bool:
    if room == other or (room, other) in ALLOWED_SIDEWAYS:
        return True
    return level(room) < level(other)


def test_every_room_has_a_level() -> None:
    rooms = {room_of(path) for path in sources()} - {"__init__"}
    known = set().union(*LEVELS)
    assert rooms <= known, f"give these a level: {rooms - known}"


def test_imports_go_downward_only() -> None:
    wrong = []
    for path in sources():
        room = room_of(path)
        if room == "__init__":
            continue
        for module, line, _ in imports(path):
            parts = module.split(".")
            if parts[0] != "diffufix" or len(parts) < 2 or parts[1].startswith("__"):
                continue
            if not may_import(room, parts[1]):
                wrong.append(f"{path.relative_to(ROOT)}:{line} {room} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_only_model_sampler_and_train_import_torch_at_module_level() -> None:
    wrong = []
    for path in sources():
        for module, line, top in imports(path):
            name = module.split(".")[0]
            torch_here = name in {"torch", "safetensors"} and room_of(path) not in TORCH_ROOMS
            if top and (torch_here or name in HEAVY_EVERYWHERE):
                wrong.append(f"{path.relative_to(ROOT)}:{line} {module}")
    assert not wrong, "\n".join(wrong)


def test_nobody_imports_train_by_its_short_name() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {module}"
        for path in [*sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
        for module, line, _ in imports(path)
        if module.split(".")[0] == "train"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", sorted((ROOT / "diffufix").glob("*/inside")), ids=str)
def test_code_inside_the_projects_interpreter_depends_on_nothing(folder: Path) -> None:
    own = {path.stem for path in folder.glob("*.py")}
    wrong = []
    for path in sorted(folder.glob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
        for module, line, _ in imports(path):
            name = module.split(".")[0]
            here = module.startswith(".".join(folder.relative_to(ROOT).parts))  # relative import
            if name not in sys.stdlib_module_names | INSIDE_ALLOWED | own and not here:
                wrong.append(f"{path.relative_to(ROOT)}:{line} {module}")
    assert not wrong, "\n".join(wrong)


def test_the_rules_bite() -> None:
    assert not may_import("sampler", "verify")
    assert not may_import("masking", "model")
    assert not may_import("store", "repair")
    assert not may_import("model", "sampler")
    assert may_import("cli", "repair")
    assert may_import("verify", "sandbox")
