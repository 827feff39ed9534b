"""Walks the calls that one function makes, in the order in which the code stands, depth first; nothing is run.

A call is followed where names and annotations say what is called: functions of modules, methods of `self`, of fields,
arguments and locals whose type is written down or comes from a call. A function that is handed to a library counts as
called there. Each function is expanded once. Of a protocol only the method is listed: who stands behind it is open.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "architecture"))
import measures
import source

sys.setrecursionlimit(10_000)
DEPTH_MAX = 40
DECORATED_READS = frozenset({"property", "cached_property"})


@dataclass(frozen=True)
class Package:
    """A module as a value."""

    name: str


@dataclass(frozen=True)
class Class:
    """A class as a value."""

    module: str
    node: ast.ClassDef


@dataclass(frozen=True)
class Function:
    """A function or method."""

    module: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: Class | None = None

    @property
    def name(self) -> str:
        return f"{self.module}.{f'{self.owner.node.name}.' if self.owner else ''}{self.node.name}"


@dataclass(frozen=True)
class Instance:
    """A value with the annotation that says what it is, as read in a module."""

    module: str
    annotation: ast.expr


Value = Package | Class | Function | Instance | None


@dataclass(frozen=True)
class Call:
    """One call: how deep it stands, what is called, whether it was called before."""

    depth: int
    function: Function
    again: bool


@dataclass
class Scope:
    """What names mean inside a function."""

    module: str
    owner: Class | None = None
    names: dict[str, Value] = field(default_factory=dict[str, Value])


class Index:
    """All definitions of the product, and what expressions refer to."""

    def __init__(self, modules: Sequence[source.Module]) -> None:
        self._modules = {module.name: module for module in modules}
        self._names = source.names(tuple(modules))
        self._members = {module.name: dict(self._definitions(module)) for module in modules}

    def function(self, path: str) -> Function:
        """Returns the function that MODULE:FUNCTION or MODULE:CLASS.METHOD names."""
        module, _, name = path.partition(":")
        value: Value = Package(module)
        for part in name.split("."):
            value = self.attribute(value, part)
        if not isinstance(value, Function):
            raise SystemExit(f"{path!r} names no function; write it as service.dispatcher:Dispatcher.report")
        return value

    def _definitions(self, module: source.Module) -> Iterator[tuple[str, ast.stmt | str]]:
        """Yields what a module defines at its top, and what it imports as a dotted path."""
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, node
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id, node
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)

    def member(self, module: str, name: str) -> Value:
        """Returns what a module means by a name."""
        definition = self._members.get(module, {}).get(name)
        if isinstance(definition, ast.ClassDef):
            return Class(module, definition)
        if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
            return Function(module, definition)
        if isinstance(definition, ast.AnnAssign):
            return Instance(module, definition.annotation)
        if isinstance(definition, ast.Assign):
            return self.value(definition.value, Scope(module))
        return self._imported(definition) if isinstance(definition, str) else None

    def _imported(self, path: str) -> Value:
        target = source.own_target(path, self._names)
        rest = path.removeprefix(f"{source.PACKAGE}.{target}" if target else source.PACKAGE).strip(".")
        if target is None:
            return None
        return self.member(target, rest) if rest else Package(target)

    def attribute(self, value: Value, name: str) -> Value:
        """Returns what an attribute of a value is: a member of a module, or a method or field of a class."""
        if isinstance(value, Package):
            child = f"{value.name}.{name}".strip(".")
            return self.member(value.name, name) or (Package(child) if child in self._names else None)
        owner = value if isinstance(value, Class) else self.class_of(value)
        return self._class_attribute(owner, name) if owner else None

    def _class_attribute(self, owner: Class, name: str) -> Value:
        for node in owner.node.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                return Function(owner.module, node, owner)
            if isinstance(node, ast.AnnAssign) and source.dotted(node.target) == name:
                return Instance(owner.module, node.annotation)
        for node in owner.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                assigned = self._assigned(Function(owner.module, node, owner), name)
                if assigned is not None:
                    return assigned
        parents = (self.value(base, Scope(owner.module)) for base in owner.node.bases)
        return next(
            (value for base in parents if isinstance(base, Class) and (value := self.attribute(base, name))), None
        )

    def _assigned(self, function: Function, name: str) -> Value:
        for node in ast.walk(function.node):
            if isinstance(node, ast.Assign) and source.dotted(node.targets[0]) == f"self.{name}":
                return self.value(node.value, self.scope(function))
            if isinstance(node, ast.AnnAssign) and source.dotted(node.target) == f"self.{name}":
                return Instance(function.module, node.annotation)
        return None

    def scope(self, function: Function) -> Scope:
        """Returns what a function's arguments are."""
        scope = Scope(function.module, function.owner)
        arguments = function.node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            if argument.annotation is not None:
                scope.names[argument.arg] = Instance(function.module, argument.annotation)
            elif argument.arg in {"self", "cls"}:
                scope.names[argument.arg] = function.owner
        return scope

    def value(self, node: ast.expr, scope: Scope) -> Value:
        """Returns what an expression refers to, or None where the code does not say."""
        match node:
            case ast.Name():
                return scope.names[node.id] if node.id in scope.names else self.member(scope.module, node.id)
            case ast.Attribute():
                return self._read(self.attribute(self.value(node.value, scope), node.attr))
            case ast.Call():
                return self.result(self.value(node.func, scope))
            case ast.Subscript():
                return self.element(self.value(node.value, scope))
            case _:
                values = (self.value(part, scope) for part in choices(node))
                return next((value for value in values if value is not None), None)

    def _read(self, value: Value) -> Value:
        return self.result(value) if isinstance(value, Function) and is_read(value) else value

    def result(self, value: Value) -> Value:
        """Returns what a call of a value gives."""
        if isinstance(value, Class):
            return value
        if isinstance(value, Function):
            return self._loaded(value) or (Instance(value.module, value.node.returns) if value.node.returns else None)
        if isinstance(value, Instance):
            return self._called(value)
        return None

    def _loaded(self, function: Function) -> Value:
        """Returns the module that a function imports by name and returns."""
        last = function.node.body[-1]
        if isinstance(last, ast.Return) and isinstance(last.value, ast.Call) and last.value.args:
            name = last.value.args[0]
            if source.dotted(last.value.func).endswith("import_module") and isinstance(name, ast.Constant):
                return self._imported(str(name.value))
        return None

    def _called(self, value: Instance) -> Value:
        """Returns what a value of `Callable[..., X]`, or of an alias of one, gives."""
        annotation = value.annotation
        if isinstance(annotation, ast.Subscript) and source.dotted(annotation.value).endswith("Callable"):
            return self.element(value)
        for part in (annotation.left, annotation.right) if isinstance(annotation, ast.BinOp) else ():
            if given := self._called(Instance(value.module, part)):
                return given
        alias = self._alias(value)
        return self._called(alias) if alias else None

    def _alias(self, value: Instance) -> Instance | None:
        name = source.dotted(value.annotation)
        module, _, member = name.rpartition(".")
        holder = (
            self.value(ast.parse(module, mode="eval").body, Scope(value.module)) if module else Package(value.module)
        )
        if not isinstance(holder, Package):
            return None
        definition = self._members[holder.name].get(member)
        return Instance(holder.name, definition.value) if isinstance(definition, ast.Assign) else None

    def element(self, value: Value) -> Value:
        """Returns what a list, a mapping, an iterator or an awaitable holds: the last argument of its annotation."""
        if not isinstance(value, Instance) or not isinstance(value.annotation, ast.Subscript):
            return None
        inner = value.annotation.slice
        if not isinstance(inner, ast.Tuple):
            return Instance(value.module, inner)
        types = [part for part in inner.elts if not (isinstance(part, ast.Constant) and part.value in {..., None})]
        first = source.dotted(value.annotation.value).rpartition(".")[2] in {"AsyncGenerator", "Generator", "tuple"}
        return Instance(value.module, types[0 if first else -1])

    def class_of(self, value: Value) -> Class | None:
        """Returns the class of a value."""
        if isinstance(value, Class):
            return value
        return self._annotated(value.annotation, value.module) if isinstance(value, Instance) else None

    def _annotated(self, annotation: ast.expr, module: str) -> Class | None:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        if isinstance(annotation, ast.BinOp):
            return self._annotated(annotation.left, module) or self._annotated(annotation.right, module)
        if isinstance(annotation, ast.Subscript):
            wrapper = source.dotted(annotation.value).rpartition(".")[2]
            return self._annotated(annotation.slice, module) if wrapper in {"Awaitable", "Annotated", "type"} else None
        named = self.value(annotation, Scope(module)) if isinstance(annotation, ast.Name | ast.Attribute) else None
        return named if isinstance(named, Class) else None


def choices(node: ast.expr) -> Sequence[ast.expr]:
    """Returns the parts of an expression one of which is its value."""
    match node:
        case ast.Await() | ast.NamedExpr():
            return [node.value]
        case ast.BoolOp():
            return node.values
        case ast.IfExp():
            return [node.body, node.orelse]
        case _:
            return []


def is_read(function: Function) -> bool:
    """Tells whether a function is called by reading an attribute."""
    return any(source.dotted(part).rpartition(".")[2] in DECORATED_READS for part in function.node.decorator_list)


class Walk(ast.NodeVisitor):
    """Follows one function and all that it calls."""

    def __init__(self, index: Index, depth: int) -> None:
        self.calls: list[Call] = []
        self._index = index
        self._deepest = depth
        self._listed: set[ast.AST] = set()
        self._expanded: set[ast.AST] = set()
        self._scope = Scope("")
        self._depth = 0

    def enter(self, function: Function) -> None:
        """Lists a call, and expands what was not expanded before and is not at the depth where the walk ends."""
        self.calls.append(Call(self._depth, function, function.node in self._listed))
        self._listed.add(function.node)
        if function.node in self._expanded or self._depth >= self._deepest:
            return
        self._expanded.add(function.node)
        before, self._scope = self._scope, self._index.scope(function)
        self._depth += 1
        for statement in function.node.body:
            self.visit(statement)
        self._scope = before
        self._depth -= 1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Takes an inner function as part of the outer one."""
        self._inner(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Likewise."""
        self._inner(node)

    def _inner(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._scope.names |= self._index.scope(Function(self._scope.module, node)).names
        for statement in node.body:
            self.visit(statement)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Passes by: who raises leaves the walk."""

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Follows a property."""
        self.visit(node.value)
        value = self._index.attribute(self._index.value(node.value, self._scope), node.attr)
        if isinstance(value, Function) and is_read(value):
            self.enter(value)

    def visit_Call(self, node: ast.Call) -> None:
        """Follows what a call calls, after what its arguments call."""
        self.generic_visit(node)
        callee = self._index.value(node.func, self._scope)
        if isinstance(callee, Function):
            self.enter(callee)
        elif isinstance(callee, Class):
            self._construct(callee)
        elif callee is None:
            self._hand_over(node)

    def _construct(self, owner: Class) -> None:
        for name in ("__init__", "__post_init__"):
            method = self._index.attribute(owner, name)
            if isinstance(method, Function):
                self.enter(method)

    def _hand_over(self, node: ast.Call) -> None:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            if isinstance(argument, ast.Name | ast.Attribute):
                value = self._index.value(argument, self._scope)
                if isinstance(value, Function):
                    self.enter(value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Remembers what a name is."""
        self.visit(node.value)
        self._bind(node.targets[0], self._index.value(node.value, self._scope))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Remembers what a name is said to be."""
        if node.value is not None:
            self.visit(node.value)
        self._bind(node.target, Instance(self._scope.module, node.annotation))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """Remembers what a name is."""
        self.visit(node.value)
        self._bind(node.target, self._index.value(node.value, self._scope))

    def visit_withitem(self, node: ast.withitem) -> None:
        """Remembers what a context manager gives."""
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            value = self._index.value(node.context_expr, self._scope)
            self._bind(node.optional_vars, self._index.element(value) or value)

    def visit_For(self, node: ast.For) -> None:
        """Remembers what a loop goes over."""
        self._loop(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        """Likewise."""
        self._loop(node)

    def _loop(self, node: ast.For | ast.AsyncFor) -> None:
        self._iterate(node)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def _iterate(self, node: ast.For | ast.AsyncFor | ast.comprehension) -> None:
        self.visit(node.iter)
        self._bind(node.target, self._index.element(self._index.value(node.iter, self._scope)))

    def visit_ListComp(self, node: ast.ListComp) -> None:
        """Takes a comprehension in the order in which it runs."""
        self._comprehend(node.generators, node.elt)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        """Likewise."""
        self._comprehend(node.generators, node.elt)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        """Likewise."""
        self._comprehend(node.generators, node.elt)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        """Likewise."""
        self._comprehend(node.generators, node.key, node.value)

    def _comprehend(self, generators: Sequence[ast.comprehension], *results: ast.expr) -> None:
        for generator in generators:
            self._iterate(generator)
            for condition in generator.ifs:
                self.visit(condition)
        for result in results:
            self.visit(result)

    def _bind(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self._scope.names[target.id] = value


def walk(modules: Sequence[source.Module], path: str, depth: int = DEPTH_MAX) -> list[Call]:
    """Returns the calls of a walk down to a depth, the first function included."""
    index = Index(modules)
    trip = Walk(index, depth)
    trip.enter(index.function(path))
    return trip.calls


def lines(modules: Sequence[source.Module], path: str, depth: int = DEPTH_MAX) -> Iterator[str]:
    """Yields the calls of a walk down to a depth, with the room of each, and what kind of walk it was."""
    calls = walk(modules, path, depth)
    for number, call in enumerate(calls, start=1):
        room = measures.package(call.function.module) if "." in call.function.module else "root"
        yield f"{number:4} {'. ' * call.depth}{room} {call.function.name}{' (again)' if call.again else ''}"
    ties = list(measures.ties(modules))
    for what, unit in (("modules", str), ("rooms", measures.package)):
        floors = measures.floors(measures.edges(ties, unit))
        yield f"{what}, all calls: {shape([unit(call.function.module) for call in calls], floors)}"
        first = [unit(call.function.module) for call in calls if not call.again]
        yield f"{what}, each function once: {shape(first, floors)}"


def shape(places: Sequence[str], floors: Mapping[str, int]) -> str:
    """Returns a walk in figures.

    A stay is any number of calls in one place without a call elsewhere between them. A climb is a step to a higher
    floor. A return is a stay in a place that was left before.
    """
    stays = [place for number, place in enumerate(places) if number == 0 or place != places[number - 1]]
    climbs = sum(floors.get(after, 0) > floors.get(before, 0) for before, after in pairwise(stays))
    different = len(set(stays))
    return f"{len(stays)} stays, {different} different, {climbs} climbs, {len(stays) - different} returns"
