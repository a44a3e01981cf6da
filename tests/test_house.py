"""The rules of the house: who may import whom, how long things may grow, what has to be documented.

Exceptions stand in data/house.toml, each with its reason.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import io
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "aioflask"
DATA = TESTS / "data"
EXCEPTIONS: dict[str, dict[str, str]] = tomllib.loads((DATA / "house.toml").read_text("utf-8"))

# Imports point down, and within a floor only to what stands earlier in its line. The package
# itself, which re-exports the application's names, stands between them and the doors.
FLOORS = [
    "late typing lazy globals signals wakeups concurrency config json.provider json json.tag",
    "body headers wrappers routing",
    "urls ctx sessions helpers templating logging responses",
    "scaffold blueprints plan calls walk connections app",
    "views aside streams mounts multipart asgibody disconnects environ exchange wsgiapp asgiapp"
    " doors wsgi shutdown tasks lifespan websockets sse middleware debughelpers websocket_client"
    " sse_client async_client faults debug reloader serving finder cli testing typed"
    " socketio_client socketio doctor as_flask",
]
CORE = {name for floor in FLOORS[:4] for name in floor.split()}
LINE = [*" ".join(FLOORS[:4]).split(), "", *FLOORS[4].split(), "__main__"]
ORDER = {name: place for place, name in enumerate(LINE)}

CORE_LINES, PACKAGE_LINES, MODULE_LINES = 6_000, 11_000, 800
OPTIONAL_LINES = 2_900
FUNCTION_LINES, COMPLEXITY = 60, 12

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    source: str
    target: str
    kind: str  # "run_time", "in_function" or "type_checking"


def module_name(path: Path) -> str:
    """`json/tag.py` is "json.tag", a package's `__init__.py` is the package, ours is ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
# Optional parts, which no app loads unasked and which stand on a library of their own.
OPTIONAL = {
    name for name in SOURCES if name in {"socketio", "socketio_client"} or name.startswith("typed")
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}


def held(rule: str, found: dict[str, str]) -> None:
    """Fail unless the keys of `found` (key: what is wrong) are just the rule's exceptions."""
    allowed = EXCEPTIONS[rule]
    broken = [f"{key}: {text}" for key, text in found.items() if key not in allowed]
    stale = [f"{key}: listed, but nothing needs it" for key in allowed.keys() - found]
    assert not broken + stale, f"[{rule}] in data/house.toml\n" + "\n".join(sorted(broken + stale))


def floor_of(name: str) -> str:
    """The name in `FLOORS` a module goes by: its own, or its package's."""
    while name not in ORDER and "." in name:
        name = name.rpartition(".")[0]
    return name


def targets(node: ast.Import | ast.ImportFrom, source: str) -> Iterator[str]:
    """The modules of ours that an import statement names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        package = ["aioflask", *filter(None, source.split("."))]
        if SOURCES[source].name != "__init__.py":
            package.pop()
        base = package[: len(package) - node.level + 1] if node.level else []
        start = ".".join([*base, *filter(None, [node.module])])
        names = [f"{start}.{alias.name}" for alias in node.names]
        names = [name if name[9:] in SOURCES else start for name in names]
    for name in names:
        if name == "aioflask" or name.startswith("aioflask."):
            yield name[9:]


def imports(source: str) -> Iterator[Import]:
    def walk(node: ast.AST, kind: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                yield from (Import(source, target, kind) for target in targets(child, source))
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from walk(child, "in_function" if kind == "run_time" else kind)
            elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                yield from walk(child, "type_checking")
            else:
                yield from walk(child, kind)

    return walk(TREES[source], "run_time")


IMPORTS = [each for source in SOURCES for each in imports(source) if each.source != each.target]


def upward(kind: str) -> set[Import]:
    return {
        each
        for each in IMPORTS
        if each.kind == kind
        and floor_of(each.source) != floor_of(each.target)
        and ORDER[floor_of(each.target)] > ORDER[floor_of(each.source)]
    }


def functions(
    body: list[ast.stmt], prefix: str, public: bool = True
) -> Iterator[tuple[str, Function, bool]]:
    """Every function with its dotted name, and whether outsiders may call it."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{prefix}.{node.name}" if prefix[-1] != ":" else prefix + node.name
            open_door = public and (not node.name.startswith("_") or node.name == "__init__")
            if not isinstance(node, ast.ClassDef):
                yield name, node, open_door
            inner = open_door and isinstance(node, ast.ClassDef)
            yield from functions(node.body, name, inner)
        else:
            blocks = [getattr(node, part, []) for part in ("body", "orelse", "finalbody")]
            for block in [*blocks, *(h.body for h in getattr(node, "handlers", []))]:
                yield from functions(block, prefix, public)


FUNCTIONS = [each for name, tree in TREES.items() for each in functions(tree.body, f"{name}:")]


def length(function: Function) -> int:
    """Lines from `def` to the end, without decorators and docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def complexity(function: Function) -> int:
    """McCabe's number: one, and one more for each statement at which the way parts."""
    forks = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
    nested = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

    def count(node: ast.AST) -> int:
        inner = (child for child in ast.iter_child_nodes(node) if not isinstance(child, nested))
        return isinstance(node, forks) + sum(map(count, inner))

    return 1 + count(function)


# -- floors ------------------------------------------------------------------------------------


def test_every_module_stands_on_a_floor() -> None:
    homeless = [name for name in SOURCES if floor_of(name) not in ORDER]
    assert not homeless, f"give these a place in FLOORS: {homeless}"


def test_imports_at_run_time_point_down() -> None:
    assert not upward("run_time")


def test_upward_imports_in_functions_are_listed() -> None:
    doors = (f"{source} -> {target}" for source, target, _ in upward("in_function"))
    held("in_function", dict.fromkeys(doors, "imports upward"))


def test_upward_imports_for_types_are_listed() -> None:
    words = ((target, source) for source, target, _ in upward("type_checking"))
    held("type_checking", {target: f"imported upward by {source}" for target, source in words})


def test_no_import_cycle_at_run_time() -> None:
    graph: dict[str, set[str]] = {}
    for source, target, kind in IMPORTS:
        if kind == "run_time":
            graph.setdefault(source, set()).add(target)
    graphlib.TopologicalSorter(graph).prepare()


def test_importing_aioflask_loads_no_door_and_no_tool() -> None:
    # Werkzeug's own __init__ loads its development server and test client: no door of ours.
    code = "import sys, werkzeug; before = set(sys.modules); import aioflask; "
    code += "print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tools = "click werkzeug.test werkzeug.serving werkzeug.debug flask pytest uvicorn httpx trio"
    doors = [f"aioflask.{name}" for name in FLOORS[4].split()]
    unwanted = {*tools.split(), *doors}
    assert not unwanted & set(done.stdout.split())


# -- sizes -------------------------------------------------------------------------------------


def lines_of_code(path: Path) -> int:
    """Lines that are neither blank nor comment nor docstring: documentation is no weight."""
    text = path.read_text("utf-8")
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = {
        line
        for token in tokens
        if token.type not in silent and token.string
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            code -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(code)


def test_core_package_and_modules_keep_their_budgets_of_lines() -> None:
    code = {name: lines_of_code(path) for name, path in SOURCES.items()}
    whole = {name: len(path.read_text("utf-8").splitlines()) for name, path in SOURCES.items()}
    assert sum(count for name, count in code.items() if floor_of(name) in CORE) <= CORE_LINES
    optional = sum(code[name] for name in OPTIONAL)
    assert optional <= OPTIONAL_LINES
    assert sum(code.values()) - optional <= PACKAGE_LINES
    assert {name: count for name, count in whole.items() if count > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = ((name, length(function)) for name, function, _ in FUNCTIONS)
    held("long_functions", {name: f"{n} lines" for name, n in lengths if n > FUNCTION_LINES})


def test_functions_are_simple() -> None:
    numbers = ((name, complexity(function)) for name, function, _ in FUNCTIONS)
    held("complex_functions", {name: f"complexity {n}" for name, n in numbers if n > COMPLEXITY})


# -- public names ------------------------------------------------------------------------------


def missing_annotations(function: Function) -> list[str]:
    args = function.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    names = [a.arg for a in every if a and a.annotation is None and a.arg not in ("self", "cls")]
    return names if function.returns is not None else [*names, "return"]


def test_every_public_function_is_typed() -> None:
    bare = ((name, missing_annotations(function)) for name, function, public in FUNCTIONS if public)
    held("untyped", {name: ", ".join(args) for name, args in bare if args})


def load(module: str) -> ModuleType:
    """Import one of ours, and leave no trace of what `as_flask` does: tests use Flask, too."""
    of_flask = {name for name in sys.modules if name.partition(".")[0] == "flask"}
    kept = {name: sys.modules.pop(name) for name in of_flask}
    finders, ours = sys.meta_path[:], importlib.import_module("aioflask")
    version, of_app = vars(ours).get("__version__"), set(vars(ours.app))
    try:
        return importlib.import_module(f"aioflask.{module}".rstrip("."))
    finally:
        if sys.meta_path != finders:
            sys.meta_path[:] = finders
            for name in [name for name in sys.modules if name.partition(".")[0] == "flask"]:
                del sys.modules[name]
            if version is None:
                del ours.__version__
            for name in set(vars(ours.app)) - of_app:
                delattr(ours.app, name)
            del sys.modules["aioflask.as_flask"]
        sys.modules.update(kept)


def public_things(module: str) -> Iterator[tuple[str, str | None]]:
    """Name and docstring of a module and of all public classes, methods and functions made in it.

    A method that overrides a documented one has that one's docstring.
    """
    loaded = load(module)
    yield f"{module or 'aioflask'}", loaded.__doc__
    for name, thing in vars(loaded).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != loaded.__name__:
            continue
        if inspect.isfunction(thing):
            yield f"{module}:{name}", thing.__doc__
        elif inspect.isclass(thing):
            yield f"{module}:{name}", thing.__doc__
            for key, member in vars(thing).items():
                made_here = getattr(member, "__name__", key) == key  # not `clear = _fail`
                kinds = (property, cached_property, classmethod, staticmethod)
                documentable = inspect.isroutine(member) or isinstance(member, kinds)
                if documentable and made_here and not key.startswith("_"):
                    yield f"{module}:{name}.{key}", inspect.getdoc(getattr(thing, key))


# To import as_flask would put us in Flask's place for all other tests; it has nothing but data.
@pytest.mark.parametrize("module", sorted(SOURCES.keys() - {"__main__", "as_flask"}))
def test_every_public_name_is_documented(module: str) -> None:
    found = {name: "no docstring" for name, text in public_things(module) if not text}
    allowed = {name for name in EXCEPTIONS["undocumented"] if name.split(":")[0] == module}
    assert found.keys() == allowed
