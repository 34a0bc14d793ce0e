"""The rules of the house that a machine can hold, each a function from a parsed module to findings.

A finding is `path:line: what is wrong`. Names are resolved through the module's imports, so that
`from time import time as now` is seen as well as `time.time`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tradewright"

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 80

# What is longer than the limits, and why it may be. Nothing is added here without a reason that a
# reader would accept; an entry that is no longer needed fails the test as well.
LONG: dict[str, str] = {}

# Where rules do not hold: files, relative to the package, with the reason in the comment.
BROAD_EXCEPT_PLACES = (
    "web/middleware/error_handler.py",
    "runtime/tasks.py",
    "plugins/__init__.py",  # what a foreign plugin raises when it is imported can't be named
)
TIME_AND_CHANCE_PLACES = ("runtime/clock.py", "runtime/ids.py")
ENVIRONMENT_PLACES = ("config.py",)
LOOSE_DICT_PLACES = (
    "plugins/",  # the answers of venues are parsed there
    "config.py",  # the tables of the configuration file, passed on to plugins as they are
)

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

FORBIDDEN_TIME_AND_CHANCE = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "asyncio.sleep",
    "uuid.uuid1",
    "uuid.uuid4",
    "os.urandom",
}
SEEDED = {"random.Random"}


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file; `place` is its path relative to the package, or to the root outside of it."""

    place: str
    source: str
    tree: ast.Module


Rule = Callable[[Module], Iterator[str]]


def parse(path: Path) -> Module:
    """Read and parse one file of the repository."""
    base = PACKAGE if path.is_relative_to(PACKAGE) else ROOT
    source = path.read_text(encoding="utf-8")
    return Module(path.relative_to(base).as_posix(), source, ast.parse(source))


def snippet(source: str, place: str = "services/example.py") -> Module:
    """Parse a piece of code as if it stood at a place in the package."""
    return Module(place, source, ast.parse(source))


def broad_excepts(module: Module) -> Iterator[str]:
    """Only the error handler and the task supervisor may catch everything."""
    if module.place in BROAD_EXCEPT_PLACES:
        return
    names = _imported_names(module.tree)
    for node in ast.walk(module.tree):
        caught: list[ast.expr | None] = []
        if isinstance(node, ast.ExceptHandler):
            caught = list(node.type.elts) if isinstance(node.type, ast.Tuple) else [node.type]
        elif isinstance(node, ast.Call) and _dotted(node.func, names) == "contextlib.suppress":
            caught = list(node.args)
        for each in caught:
            if each is None or _dotted(each, names) in ("Exception", "BaseException"):
                yield _finding(module, node, "catches every exception")


def hidden_time_and_chance(module: Module) -> Iterator[str]:
    """Time, waiting, random numbers and ids come from runtime.clock and runtime.ids."""
    if module.place in TIME_AND_CHANCE_PLACES:
        return
    yields = {id(node.func) for node in ast.walk(module.tree) if _is_sleep_of_nothing(node)}
    for node, name in _used_names(module.tree):
        if id(node) in yields:
            continue
        if name in FORBIDDEN_TIME_AND_CHANCE or (name.startswith("random.") and name not in SEEDED):
            yield _finding(module, node, f"uses {name}")


def _is_sleep_of_nothing(node: ast.AST) -> TypeGuard[ast.Call]:
    """Tell whether this is `sleep(0)`, which lets others run and asks no clock."""
    if not isinstance(node, ast.Call) or _last_name(node.func) != "sleep" or len(node.args) != 1:
        return False
    return isinstance(node.args[0], ast.Constant) and node.args[0].value == 0


def environment_reads(module: Module) -> Iterator[str]:
    """Only config reads the environment."""
    if module.place in ENVIRONMENT_PLACES:
        return
    for node, name in _used_names(module.tree):
        if name in ("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"):
            yield _finding(module, node, f"uses {name}")


def nameless_tasks(module: Module) -> Iterator[str]:
    """A task has a name, for whoever looks at a hanging server, and an owner that keeps it."""
    dropped = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        made_by = _last_name(node.func)
        if made_by == "ensure_future":
            yield _finding(module, node, "ensure_future makes a task without a name")
        if made_by == "create_task" and not any(each.arg == "name" for each in node.keywords):
            yield _finding(module, node, "a task has no name")
        # A task group, called so by its name, keeps what it made.
        if made_by == "create_task" and id(node) in dropped and "group" not in ast.unparse(node.func):
            yield _finding(module, node, "nobody keeps this task")


def unbounded_stores(module: Module) -> Iterator[str]:
    """Queues and caches say how much they hold."""
    names = _imported_names(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = _dotted(node.func, names)
            if name in _QUEUES and not _bounded(node, "maxsize"):
                yield _finding(module, node, f"{name} has no maxsize")
            if name == "functools.lru_cache" and node.args + node.keywords and not _bounded(node, "maxsize"):
                yield _finding(module, node, "lru_cache has no maxsize")


def loose_dicts(module: Module) -> Iterator[str]:
    """What crosses a function's border has a type with names, not a dict of anything."""
    if module.place.startswith(LOOSE_DICT_PLACES):
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for annotation in (*(each.annotation for each in arguments), node.returns):
            if annotation is not None and _loose(annotation):
                yield _finding(module, annotation, f"{node.name} takes or returns {ast.unparse(annotation)}")


def vague_names(module: Module) -> Iterator[str]:
    """A module is named after what it knows."""
    parts = {part.removesuffix(".py").strip("_") for part in module.place.split("/")}
    for part in sorted(parts & VAGUE_NAMES):
        yield f"{module.place}:1: {part!r} says nothing about what is inside"


def missing_docstrings(module: Module) -> Iterator[str]:
    """A module says in one sentence what it knows."""
    if not ast.get_docstring(module.tree):
        yield f"{module.place}:1: has no docstring"


def too_long(module: Module) -> Iterator[str]:
    """Files and functions stay short; the exceptions are in LONG, with their reasons."""
    for name, line, length, limit in lengths(module):
        if length > limit and name not in LONG:
            yield f"{module.place}:{line}: {name} has {length} lines, {limit} are allowed"


def lengths(module: Module) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, first line, length and limit of the file and of each function in it."""
    yield module.place, 1, module.source.count("\n"), FILE_LINES_MAX
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield f"{module.place}:{node.name}", node.lineno, length, FUNCTION_LINES_MAX


def skipped_tests(module: Module) -> Iterator[str]:
    """No test is skipped or expected to fail: it runs, or the summary names it as golden."""
    for node, name in _used_names(module.tree):
        if name in _SKIPS:
            yield _finding(module, node, f"uses {name}")


def mocks(module: Module) -> Iterator[str]:
    """Tests use real collaborators or fakes that are product code."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            if any(each == "mock" or each.startswith("unittest.mock") for each in modules) or (
                modules == ["unittest"] and "mock" in names
            ):
                yield _finding(module, node, "imports mock")


_QUEUES = {
    "asyncio.Queue",
    "asyncio.LifoQueue",
    "asyncio.PriorityQueue",
    "queue.Queue",
    "queue.LifoQueue",
    "queue.PriorityQueue",
}
_SKIPS = {
    "pytest.skip",
    "pytest.xfail",
    "pytest.importorskip",
    "pytest.mark.skip",
    "pytest.mark.skipif",
    "pytest.mark.xfail",
    "unittest.skip",
    "unittest.skipIf",
    "unittest.skipUnless",
}
_MAPPINGS = ("dict", "Dict", "Mapping", "MutableMapping")


def _finding(module: Module, node: ast.AST, what: str) -> str:
    return f"{module.place}:{getattr(node, 'lineno', 1)}: {what}"


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for, dotted."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                names[local] = alias.name if alias.asname else local
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def _used_names(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    names = _imported_names(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            dotted = _dotted(node, names)
            root = dotted.split(".")[0]
            known = any(each.split(".")[0] == root for each in names.values())
            # Of a.b.c only the whole counts, but os.environ.get is a use of os.environ too.
            if known and (id(node) not in inner or dotted == "os.environ"):
                yield node, dotted


def _bounded(call: ast.Call, name: str) -> bool:
    given = [each.value for each in call.keywords if each.arg == name] + call.args[:1]
    return bool(given) and not (isinstance(given[0], ast.Constant) and not given[0].value)


def _loose(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    subscripted = {id(node.value) for node in ast.walk(annotation) if isinstance(node, ast.Subscript)}
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name) and node.id in ("dict", "Dict") and id(node) not in subscripted:
            return True
        if isinstance(node, ast.Subscript) and _last_name(node.value) in _MAPPINGS:
            values = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
            if len(values) == 2 and _last_name(values[1]) == "Any":
                return True
    return False


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
