"""How much a Python file of tests checks: the tests and assertions in it that can run, counted from its syntax.

What stands in a string or a comment is no syntax; what follows a `return`, stands below `if False`, is caught again,
holds whatever happens, or belongs to a name that is bound anew or deleted, cannot fail. That is all that is seen: what
an assertion says, and what is only known when it runs, is not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Final

from dispatch_mcp.text.reading import excerpts

_ASSERTING = re.compile(r"^_?assert|^expect|^(?:raises|warns|fail|approx_equal)$", re.IGNORECASE)
_ENDING: Final = frozenset({"skip", "skipTest", "xfail", "exit", "quit", "_exit", "abort"})
_CATCHING: Final = frozenset({"AssertionError", "Exception", "BaseException"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Scope = _Function | ast.ClassDef


def count(text: str) -> int | None:
    """Returns how many tests and assertions of a file can run; None for a text that is no Python, or too long."""
    if len(text) > excerpts.SOURCE.chars:
        return None
    try:
        return _of_scope(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _of_scope(body: Sequence[ast.stmt], *, collects: bool = True) -> int:
    """Returns the count of a module or class; of several things of one name the last one counts."""
    last: dict[str, _Scope] = {}
    total = 0
    for statement in _reachable(body):
        if isinstance(statement, _Scope):
            last[statement.name] = statement
            continue
        for name in _bound_names(statement):
            last.pop(name, None)
        total += _of_statement(statement, _names([statement]))
    return total + sum(_of_definition(scope, collects=collects) for scope in last.values())


def _of_definition(scope: _Scope, *, collects: bool) -> int:
    if any(map(_is_without_cases, scope.decorator_list)):
        return 0
    if isinstance(scope, ast.ClassDef):
        return _of_scope(scope.body, collects=scope.name.startswith("Test") or bool(scope.bases))
    return int(collects and scope.name.startswith("test")) + _of_block(scope.body, _names(scope.body))


def _names(body: Sequence[ast.stmt]) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(ast.Module([*body], [])) if isinstance(node, ast.Name))


def _of_block(body: Sequence[ast.stmt], names: frozenset[str]) -> int:
    """Returns the assertions of statements; of functions within them if their names are among those of the outermost.

    The names come from there so that a file is walked once, however deep its blocks lie in each other.
    """
    total = 0
    for statement in _reachable(body):
        if not isinstance(statement, _Scope):
            total += _of_statement(statement, names)
        elif statement.name in names or statement.decorator_list:
            total += _of_block(statement.body, names)
    return total


def _of_statement(statement: ast.stmt, names: frozenset[str]) -> int:
    match statement:
        case ast.Assert(test):
            total = int(_truth(test) is not True)
        case ast.If(test, body, orelse) | ast.While(test, body, orelse):
            truth = _truth(test)
            is_loop = isinstance(statement, ast.While)
            own = _of_block(body, names) if truth is not False else 0
            total = own + _of_calls(test) + (_of_block(orelse, names) if truth is not True or is_loop else 0)
        case ast.For(_, cases, body, orelse) | ast.AsyncFor(_, cases, body, orelse):
            total = _of_block(orelse, names) + (0 if _truth(cases) is False else _of_block(body, names))
        case ast.Try(body, handlers, orelse, final) | ast.TryStar(body, handlers, orelse, final):
            own = 0 if any(map(_swallows, handlers)) else _of_block(body, names)
            total = (
                own + sum(_of_block(handler.body, names) for handler in handlers) + _of_block([*orelse, *final], names)
            )
        case ast.With(items, body) | ast.AsyncWith(items, body):
            calls = [item.context_expr for item in items]
            total = 0 if any(map(_suppresses, calls)) else sum(map(_of_calls, calls)) + _of_block(body, names)
        case ast.Match(_, cases):
            total = sum(_of_block(case.body, names) for case in cases)
        case _:
            total = _of_calls(statement)
    return total


def _of_calls(node: ast.AST) -> int:
    return sum(isinstance(part, ast.Call) and bool(_ASSERTING.search(_name(part.func))) for part in ast.walk(node))


def _reachable(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields statements up to the first that leaves the block for certain."""
    for statement in body:
        yield statement
        match statement:
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                return
            case ast.Expr(ast.Call(func)) | ast.Expr(ast.Await(ast.Call(func))) if _name(func) in _ENDING:
                return
            case ast.If(test, [*_, ast.Return() | ast.Raise()]) if _truth(test) is True:
                return
            case _:
                pass


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """Yields the names that a statement of a module or class binds anew, or deletes."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id


def _truth(node: ast.expr) -> bool | None:
    """Returns what an expression is whatever happens; None where that depends."""
    truth: bool | None = None
    match node:
        case ast.Constant(value):
            truth = bool(value)
        case ast.Tuple(parts) | ast.List(parts) | ast.Set(parts) | ast.Dict(parts):
            truth = bool(parts)
        case ast.UnaryOp(ast.Not(), operand):
            inner = _truth(operand)
            truth = None if inner is None else not inner
        case ast.BoolOp(operator, values):
            truths = [_truth(value) for value in values]
            decisive = isinstance(operator, ast.Or)
            truth = decisive if decisive in truths else (None if None in truths else not decisive)
        case ast.Compare(left, [ast.Eq() | ast.Is() | ast.LtE() | ast.GtE()], [right]):
            has_call = any(isinstance(part, ast.Call) for part in ast.walk(left))
            truth = True if ast.dump(left) == ast.dump(right) and not has_call else None
        case _:
            pass
    return truth


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Returns whether a handler catches a failed assertion and does not fail itself."""
    catches = handler.type is None or any(_name(part) in _CATCHING for part in ast.walk(handler.type))
    nodes = [node for statement in handler.body for node in ast.walk(statement)]
    return catches and not any(isinstance(node, ast.Raise) for node in nodes) and not sum(map(_fails, nodes))


def _fails(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or (
        isinstance(node, ast.Call) and _name(node.func).startswith(("fail", "exit"))
    )


def _suppresses(call: ast.expr) -> bool:
    is_guard = isinstance(call, ast.Call) and _name(call.func) in ("suppress", "raises", "assertRaises")
    return is_guard and any(_name(part) in _CATCHING for part in ast.walk(call))


def _is_without_cases(decorator: ast.expr) -> bool:
    match decorator:
        case ast.Call(func, [_, cases, *_]) if _name(func) == "parametrize":
            return _truth(cases) is False
        case _:
            return False


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
