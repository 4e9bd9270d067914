"""The import rules, read from the sources: who may know whom, and who may know torch.

Imports inside functions and under TYPE_CHECKING count for the first rule and not for the second.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Rooms from the roof to the ground; an import goes down, or stays within its room.
FLOORS = [
    "__main__",
    "pytest_plugin",
    "cli",
    "report",
    "doctor",
    "assistant",
    "evaluation",
    "mcp_server",
    "api",
    "parts",
    "trainers",
    "completion",
    "generate",
    "repair",
    "trust",
    "train.rl",
    "train.pretrain",
    "train.bugs",
    "train.corpus",
    "train",
    "propose",
    "registry",
    "engines",
    "decode",
    "model",
    "serve",
    "cluster",
    "workspace",
    "verify",
    "localize",
    "testing",
    "sandbox",
    "store",
    "source",
    "events",
    "config",
    "project",
    "trusted",
    "types",
    "errors",
]
#: These deal in ids and know nothing of text, tests or files of a project.
IDS = {"decode", "model"}
IDS_MAY_KNOW = IDS | {"types", "errors"}
SIBLINGS = 17  # files and folders in one folder, at most
HEAVY_EVERYWHERE = {"docker", "ray", "e2b", "e2b_code_interpreter", "transformers"}
TORCH_ROOMS = IDS | {room for room in FLOORS if room.startswith("train")}
#: What runs inside the project's interpreter may import besides the standard library.
INSIDE_ALLOWED = {"pytest", "_pytest", "pluggy", "coverage"}
#: The reporter's files lie beside the recorder's in a sandbox.
INSIDE_ALLOWED |= {"_diffufix_reporter", "_diffufix_ids", "_diffufix_calm", "_diffufix_pipe"}


def sources() -> list[Path]:
    return sorted([*(ROOT / "diffufix").rglob("*.py"), *(ROOT / "train").rglob("*.py")])


def room_of(module: str) -> str:
    """The room of a dotted name in `diffufix`; those of `train` have rooms of their own."""
    parts = module.split(".")[1:]
    nested = ".".join(parts[:2])
    return nested if nested in FLOORS else parts[0] if parts else ""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "diffufix" else ("diffufix", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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


def may_import(room: str, other: str) -> bool:
    if room in IDS and other not in IDS_MAY_KNOW:
        return False
    return FLOORS.index(room) <= FLOORS.index(other)


def graph() -> Mapping[str, Set[str]]:
    """Module -> the modules of ours that it imports, wherever in the file."""
    names = {name_of(path) for path in sources()}
    found: dict[str, set[str]] = defaultdict(set)
    for path in sources():
        for full, _, _ in imports(path):
            module = full if full in names else full.rpartition(".")[0]
            if module in names and module != name_of(path):
                found[name_of(path)].add(module)
    return found


def circles(edges: Mapping[str, Set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's algorithm), of two or more."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in number:
            visit(node)
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(name_of(path)) for path in sources()} - {""}
    assert rooms <= set(FLOORS), f"give these a floor: {rooms - set(FLOORS)}"


def test_imports_go_downward_only() -> None:
    wrong = []
    for path in sources():
        room = room_of(name_of(path))
        for module, line, _ in imports(path):
            other = room_of(module) if module.startswith("diffufix.") else ""
            if room and other and not other.startswith("__") and not may_import(room, other):
                wrong.append(f"{path.relative_to(ROOT)}:{line} {room} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_files_import_each_other() -> None:
    assert not circles(graph())


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in sources()}
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder in folders
        if (count := sum(1 for path in folder.glob("*.py") if path.name != "__init__.py"))
        > SIBLINGS
    }
    assert not crowded


def test_every_room_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent


def test_only_model_sampler_and_train_import_torch_at_module_level() -> None:
    wrong = []
    for path in sources():
        for module, line, top in imports(path):
            name = module.split(".")[0]
            torch_here = (
                name in {"torch", "safetensors"} and room_of(name_of(path)) not in TORCH_ROOMS
            )
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
    assert not may_import("decode", "verify")
    assert not may_import("source", "model")
    assert not may_import("store", "repair")
    assert not may_import("model", "decode")
    assert not may_import("decode", "source")
    assert not may_import("train.bugs", "train.rl")
    assert may_import("cli", "repair")
    assert may_import("verify", "sandbox")
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert room_of("diffufix.train.rl.learn") == "train.rl"
    assert room_of("diffufix.train.optim") == "train"
