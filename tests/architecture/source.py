"""Reads the product's modules without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER = REPOSITORY / "server"
PACKAGE = "dispatch_mcp"


@dataclass(frozen=True)
class Module:
    """One module; `name` is relative to the package ("runs.budget", "" for the package itself)."""

    name: str
    text: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return parse(self.text)

    @property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Returns every node of the module, as `ast.walk` does."""
        return nodes(self.text)

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    def beginning(self, node: ast.expr) -> str:
        """Returns how an expression is written: its first line, from its first character on."""
        line = lines(self.text)[node.lineno - 1]
        end = node.end_col_offset if node.end_lineno == node.lineno else None
        return line[node.col_offset : end].decode()

    def at(self, node: ast.AST) -> str:
        return f"{self.name or PACKAGE}:{getattr(node, 'lineno', 1)}"


@dataclass(frozen=True)
class Import:
    """One imported name with its absolute dotted path and the node that imports it."""

    target: str
    node: ast.Import | ast.ImportFrom
    inside_function: bool


@cache
def parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def lines(text: str) -> list[bytes]:
    """Returns the lines of a source as the parser counts them, in whose bytes it counts columns."""
    return text.encode().split(b"\n")


@cache
def nodes(text: str) -> tuple[ast.AST, ...]:
    """Returns every node of a source; every rule looks at all of them, so they are gone through once."""
    return tuple(ast.walk(parse(text)))


@cache
def modules() -> tuple[Module, ...]:
    """Returns every module of the product, sorted by name."""
    found: list[Module] = []
    for path in sorted((SERVER / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SERVER / PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return tuple(found)


def imports(module: Module) -> tuple[Import, ...]:
    """Returns every import of a module, also those inside functions and under TYPE_CHECKING."""
    return _imports_of(module.text)


@cache
def _imports_of(text: str) -> tuple[Import, ...]:
    return tuple(_imports(parse(text), inside_function=False))


def _imports(node: ast.AST, *, inside_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child, inside_function)
        elif isinstance(child, ast.ImportFrom):
            base = "." * child.level + (child.module or "")
            for alias in child.names:
                yield Import(f"{base}.{alias.name}", child, inside_function)
        else:
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _imports(child, inside_function=inside_function or function)


def own_target(target: str, known: frozenset[str]) -> str | None:
    """Returns the module of the product that an import reaches, relative to the package, or None.

    `from dispatch_mcp.runs import budget` reaches runs.budget; `from dispatch_mcp.runs.budget import Ledger` too.
    """
    if target != PACKAGE and not target.startswith(f"{PACKAGE}."):
        return None
    name = target[len(PACKAGE) + 1 :]
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def own_imports(module: Module, known: frozenset[str]) -> Iterator[tuple[str, ast.AST]]:
    """Yields the modules of the product that a module imports, those that `import_module` is given by name included."""
    for one in imports(module):
        target = own_target(one.target, known)
        if target is not None:
            yield target, one.node
    for name, call in calls(module):
        if name.split(".")[-1] == "import_module" and call.args and (path := _leading_text(call.args[0])):
            target = own_target(path.rstrip("."), known)
            if target is not None:
                yield target, call


def _leading_text(node: ast.expr) -> str:
    """Returns the text that an expression begins with, as far as it stands in the source."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return _leading_text(node.values[0])
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def names(all_modules: tuple[Module, ...]) -> frozenset[str]:
    return frozenset(module.name for module in all_modules)


def dotted(node: ast.expr) -> str:
    """Returns "a.b.c" for a chain of names, and "" for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def calls(module: Module) -> tuple[tuple[str, ast.Call], ...]:
    """Returns every call with the dotted name of what is called ("" when it has none)."""
    return _calls_of(module.text)


@cache
def _calls_of(text: str) -> tuple[tuple[str, ast.Call], ...]:
    return tuple((dotted(node.func), node) for node in nodes(text) if isinstance(node, ast.Call))


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in module.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
