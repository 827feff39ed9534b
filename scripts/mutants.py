"""Small wrong changes that can be made anywhere in a module: what `mutation_score.py` samples from.

Left alone, because no test of behaviour could notice it or every one would: docstrings, annotations, decorators, prose
that only people read, lines of the log, and assignments to local names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_ORDER: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_OPPOSITE: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=",
    ast.LtE: ">",
    ast.Gt: "<=",
    ast.GtE: "<",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
_SIGNS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
_LOGS = re.compile(r"_?log(ger)?\.")
_SQL = re.compile(r"(?i)\b(?:SELECT|UPDATE|INSERT|DELETE|WHERE|ORDER BY|JOIN|PRAGMA)\b")
_CONDITION = re.compile(
    r"\b(WHERE|AND) ([^\"'()]*?(?:\([^\"'()]*\))?)(?= AND\b| OR\b| ORDER\b| GROUP\b| LIMIT\b|\"|'|$)"
)
_SQL_BITS = (
    ("order", re.compile(r" ORDER BY [^\"'()]*?(?= LIMIT\b|\"|'|\)|$)"), ""),
    ("order", re.compile(r" DESC\b"), ""),
    ("limit", re.compile(r" LIMIT \d+"), ""),
    ("null", re.compile(r"\bIS NOT NULL\b"), "IS NULL"),
    ("null", re.compile(r"\bIS NULL\b"), "IS NOT NULL"),
    ("distinct", re.compile(r"\bDISTINCT "), ""),
    ("aggregate", re.compile(r"\bMAX\("), "MIN("),
    ("aggregate", re.compile(r"\bMIN\("), "MAX("),
    ("bound", re.compile(r"(?<= )<(?= )"), "<="),
    ("bound", re.compile(r"(?<= )>(?= )"), ">="),
    ("bound", re.compile(r"(?<= )(?:<=|>=)(?= )"), "="),
)


@dataclass(frozen=True)
class Mutant:
    """One change: bytes `start` to `end` of a file become `after`. `function` is the outermost around it, None outside.

    `function` is its qualified name. Lines count from 1.
    """

    kind: str
    line: int
    start: int
    end: int
    before: str
    after: str
    function: str | None

    def made_in(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def of(source: bytes) -> list[Mutant]:
    """Returns every change that can be made to a module, in the order of its text; a few of them do not compile."""
    mutants = {(each.start, each.end, each.after): each for each in _Walk(source).all()}
    return sorted(mutants.values(), key=lambda each: (each.start, each.end, each.after))


def compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


class _Walk:
    """One walk through a module. `_functions` and `_classes` are the names around the node that is looked at."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._tree = ast.parse(source)
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def all(self) -> Iterator[Mutant]:
        yield from self._under(self._tree, (), None)

    def _under(self, node: ast.AST, names: tuple[str, ...], function: str | None) -> Iterator[Mutant]:
        for child in _children(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = function or ".".join((*names, child.name))
                yield from self._under(child.args, names, function)
                yield from self._under_all(child.body, names, inside)
                continue
            yield from self._changes(child, function)
            inner = (*names, child.name) if isinstance(child, ast.ClassDef) and function is None else names
            yield from self._under(child, inner, function)

    def _under_all(self, body: list[ast.stmt], names: tuple[str, ...], function: str) -> Iterator[Mutant]:
        yield from self._under(ast.Module(body=body, type_ignores=[]), names, function)

    def _changes(self, node: ast.AST, function: str | None) -> Iterator[Mutant]:
        for kind, at, after in self._texts(node):
            start, end = self._span(at)
            before = self._source[start:end].decode()
            if before != after:
                yield Mutant(kind, at.lineno, start, end, before, after, function)
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield from self._sql(node, function)

    def _texts(self, node: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
        match node:
            case ast.Compare():
                yield from self._comparisons(node)
            case ast.BoolOp():
                yield from self._junctions(node)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                yield "sign", node, f"({self._text(node.operand)})"
            case ast.If() | ast.While() | ast.IfExp():
                yield "branch", node.test, f"(not ({self._text(node.test)}))"
            case ast.BinOp():
                yield from self._calculations(node)
            case ast.Constant():
                yield from _constants(node)
            case ast.Return(value=ast.expr() as value) if not _is_none(value):
                yield "return", value, "None"
            case ast.Call() if not _LOGS.match(self._text(node)):
                yield from self._calls(node)
            case ast.stmt():
                yield from self._statements(node)
            case _:
                pass

    def _comparisons(self, node: ast.Compare) -> Iterator[tuple[str, ast.expr, str]]:
        if len(node.ops) != 1:
            return
        left, right, operator = self._text(node.left), self._text(node.comparators[0]), type(node.ops[0])
        if operator in _ORDER:
            yield "bound", node, f"({left} {_ORDER[operator]} {right})"
        yield "comparison", node, f"({left} {_OPPOSITE[operator]} {right})"

    def _junctions(self, node: ast.BoolOp) -> Iterator[tuple[str, ast.expr, str]]:
        word, other = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
        texts = [f"({self._text(value)})" for value in node.values]
        yield "junction", node, f"({other.join(texts)})"
        for left_out in range(len(texts)):
            yield "operand", node, f"({word.join(texts[:left_out] + texts[left_out + 1 :])})"

    def _calculations(self, node: ast.BinOp) -> Iterator[tuple[str, ast.expr, str]]:
        signs = _SIGNS.get(type(node.op))
        if signs and not isinstance(node.left, ast.Constant | ast.JoinedStr | ast.List | ast.Tuple):
            yield "calculation", node, f"({self._text(node.left)} {signs[1]} {self._text(node.right)})"

    def _calls(self, node: ast.Call) -> Iterator[tuple[str, ast.expr, str]]:
        if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            yield "call", node.func, _CALLS[node.func.id]
        positional = [arg for arg in node.args if not isinstance(arg, ast.Starred)]
        texts = [self._text(arg) for arg in node.args] + [self._keyword(keyword) for keyword in node.keywords]
        function = self._text(node.func)
        if len(positional) == len(node.args) >= 2 and function not in _CALLS:  # to be swapped
            yield "swap", node, f"{function}({', '.join([texts[1], texts[0], *texts[2:]])})"
        for position, keyword in enumerate(node.keywords, len(node.args)):
            if keyword.arg:
                yield "keyword", node, f"{function}({', '.join(texts[:position] + texts[position + 1 :])})"

    def _keyword(self, keyword: ast.keyword) -> str:
        return f"{keyword.arg}={self._text(keyword.value)}" if keyword.arg else f"**{self._text(keyword.value)}"

    def _statements(self, node: ast.stmt) -> Iterator[tuple[str, ast.stmt, str]]:
        match node:
            case ast.Expr(value=ast.Call() | ast.Await() as value):
                if not _LOGS.match(self._text(value)):
                    yield "statement", node, "pass"
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Raise() | ast.Delete():
                yield "statement", node, "pass"
            case ast.AugAssign():
                yield "statement", node, "pass"
                left, right = self._text(node.target), self._text(node.value)
                signs = _SIGNS.get(type(node.op))
                if signs:
                    yield "calculation", node, f"{left} {signs[1]}= {right}"
            case ast.Continue():
                yield "statement", node, "break"
            case ast.Break():
                yield "statement", node, "continue"
            case _:
                pass

    def _sql(self, node: ast.Constant | ast.JoinedStr, function: str | None) -> Iterator[Mutant]:
        start, end = self._span(node)
        text = self._source[start:end].decode()
        if not _SQL.search(text) or (not isinstance(node, ast.JoinedStr) and not isinstance(node.value, str)):
            return
        for kind, pattern, after in _SQL_BITS:
            for bit in pattern.finditer(text):
                yield self._bit(node, kind, (bit.start(), bit.end(), bit.group(), after), function)
        for bit in _CONDITION.finditer(text):
            after = f"{bit[1]} ({bit[2]} OR 1)"
            yield self._bit(node, "condition", (bit.start(), bit.end(), bit.group(), after), function)

    def _bit(self, node: ast.expr, kind: str, bit: tuple[int, int, str, str], function: str | None) -> Mutant:
        first, _, before, after = bit
        start = self._span(node)[0]
        text = self._source[start:].decode()
        line = node.lineno + text[:first].count("\n")
        begin = start + len(text[:first].encode())
        return Mutant(f"sql {kind}", line, begin, begin + len(before.encode()), before, after, function)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.lineno - 1] + node.col_offset, self._lines[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.expr, str]]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", node, str(not value)
    elif isinstance(value, int | float):
        yield "constant", node, repr(value + 1)
    elif isinstance(value, str) and value and " " not in value and not _SQL.search(value):
        yield "word", node, repr(f"X{value}")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what stands directly below a node and can be changed."""
    skipped: set[int] = set()
    match node:
        case ast.AnnAssign():
            skipped = {id(node.annotation), id(node.target)}
        case ast.arg():
            return
        case ast.ClassDef():
            skipped = {id(each) for each in (*node.decorator_list, *node.bases, *node.keywords)}
        case ast.JoinedStr():
            skipped = {id(each) for each in node.values if isinstance(each, ast.Constant)}
        case ast.FormattedValue():
            return  # positions inside an f-string are those of the whole before Python 3.12
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        is_import = isinstance(child, ast.Import | ast.ImportFrom | ast.Match)
        if id(child) not in skipped and not is_docstring and not (is_import and not isinstance(child, ast.Match)):
            yield child
