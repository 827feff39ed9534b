"""Measures modules: who imports whom and in which circles, which names are bound, which lines explain."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import source

Edges = Mapping[str, frozenset[str]]
Unit = Callable[[str], str]

IRREGULAR = frozenset(
    """
    begun bought bound broken brought built caught chosen done drawn driven fallen forgotten found given gone grown
    heard held hidden kept known laid led left lost made meant met paid said sent shown sold spent split spoken taken
    thought told written seen
    """.split()  # noqa: SIM905 - words read better than a list of strings
)
PRONOUNS = frozenset(
    {"both", "everything", "mine", "nothing", "one", "others", "ours", "theirs", "what", "which", "who"}
)
NOT_PARTICIPLES = frozenset({"bed", "embed", "feed", "need", "red", "seed", "speed"})
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_REGULAR = re.compile("[a-z]+ed")
_DIRECTIVE = re.compile("noqa|type: ignore|pyright:|pragma:|fmt:")


@dataclass(frozen=True)
class Tie:
    """One module that imports another, and where; by name when `importlib.import_module` does it."""

    importer: str
    target: str
    place: str
    by_name: bool = False


def ties(modules: Iterable[source.Module]) -> Iterator[Tie]:
    """Yields the imports of modules of the product; a name given to `import_module` counts as one."""
    modules = tuple(modules)
    names = source.names(modules)
    for module in modules:
        for statement in source.imports(module):
            target = source.own_target(statement.target, names)
            if target is not None and target != module.name:
                yield Tie(module.name, target, module.at(statement.node))
        for call, text in _imports_by_name(module):
            for target in _targets_of(text, names):
                yield Tie(module.name, target, module.at(call), by_name=True)


def _imports_by_name(module: source.Module) -> Iterator[tuple[ast.Call, str]]:
    """Yields the calls of `import_module` with what they import; "a.b.*" for an f-string that begins with "a.b."."""
    for name, call in source.calls(module):
        argument = call.args[0] if name.split(".")[-1] == "import_module" and call.args else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield call, argument.value
        elif isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
            yield call, f"{argument.values[0].value}*"


def _targets_of(text: str, names: frozenset[str]) -> list[str]:
    if not text.endswith("*"):
        target = source.own_target(text, names)
        return [] if target is None else [target]
    start = text.removesuffix("*").removeprefix(f"{source.PACKAGE}.")
    return sorted(name for name in names if name.startswith(start)) if text.startswith(source.PACKAGE) else []


def importers(modules: Iterable[source.Module]) -> Mapping[str, frozenset[str]]:
    """Returns for every module the modules that import it."""
    modules = tuple(modules)
    by_target: dict[str, set[str]] = {module.name: set() for module in modules}
    for tie in ties(modules):
        by_target[tie.target].add(tie.importer)
    return {name: frozenset(them) for name, them in by_target.items()}


def package(name: str) -> str:
    """Returns the first folder below the product that holds a module; a module beside these folders stands alone."""
    return name.partition(".")[0]


def room(module: source.Module) -> str:
    """Returns the first folder below the product that holds a module, and "" for modules beside these folders."""
    return package(module.name) if "." in module.name or module.is_package else ""


def edges(all_ties: Iterable[Tie], unit: Unit = str) -> Edges:
    """Returns who imports whom among units: modules as they are, or `package` for the folders that hold them."""
    targets: dict[str, set[str]] = defaultdict(set)
    for tie in all_ties:
        if unit(tie.importer) != unit(tie.target):
            targets[unit(tie.importer)].add(unit(tie.target))
            targets[unit(tie.target)].update()
    return {name: frozenset(them) for name, them in targets.items()}


def circles(graph: Edges) -> list[tuple[str, ...]]:
    """Returns the groups of units each of which reaches every other one."""
    reach = {name: _reachable(name, graph) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return sorted(group for group in groups if group)


def _reachable(start: str, graph: Edges) -> frozenset[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - reached:
            reached.add(target)
            waiting.append(target)
    return frozenset(reached)


def floors(graph: Edges) -> Mapping[str, int]:
    """Returns the floor of every unit: one above all that it imports, members of a circle on the same one."""
    circle_of = {name: group for group in circles(graph) for name in group}
    heights: dict[str, int] = {}

    def height(name: str) -> int:
        group = circle_of.get(name, (name,))
        if name not in heights:
            below = [height(target) for member in group for target in graph[member] if target not in group]
            heights.update(dict.fromkeys(group, 1 + max(below, default=0)))
        return heights[name]

    return {name: height(name) for name in graph}


def bound_names(tree: ast.Module) -> Iterator[str]:
    """Yields every name at every place that binds it: arguments (`self` too) and targets.

    Targets are those of assignments, fields of classes, `for`, `with`, `:=` and comprehensions. Definitions,
    imports, attributes and the names of exceptions are none: they are read as what they define.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def is_vague(name: str) -> bool:
    """Tells whether a whole name is a participle or a pronoun and so does not say what its value is."""
    regular = _REGULAR.fullmatch(name) is not None and name not in NOT_PARTICIPLES
    return regular or name in IRREGULAR or name in PRONOUNS


def vague_names(module: source.Module) -> list[str]:
    """Returns the vague names that a module binds, once for every place."""
    return [name for name in bound_names(module.tree) if is_vague(name)]


def public_classes(module: source.Module) -> Iterator[ast.ClassDef]:
    """Yields the classes at the top of a module whose names do not begin with an underscore."""
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node


def docstrings(tree: ast.Module) -> Iterator[ast.Expr]:
    """Yields the docstrings of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS))
            and ast.get_docstring(node, clean=False) is not None
        ):
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            yield first


def lines(node: ast.expr | ast.stmt) -> int:
    """Returns how many lines a node takes in the file."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Returns the physical lines of a function from `def` to its end, its own docstring not counted."""
    return lines(function) - (lines(function.body[0]) if ast.get_docstring(function) is not None else 0)


@functools.cache
def comment_lines(text: str) -> frozenset[int]:
    """Returns the numbers of the lines that carry a comment for readers: directives to tools are none."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = (token for token in tokens if token.type == tokenize.COMMENT)
    return frozenset(comment.start[0] for comment in comments if not _DIRECTIVE.search(comment.string))
