"""Rules that hold the house to measures, or to measures that may only get better: values in, violations out."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise

import measures
import source

FOLDER_MAX = 20
SMALL_MODULE = 40
ROOM_SHARE = 0.15
CEILING_SLACK = 5
TEST_RATIO = 1.0
FLOOR_SLACK = 0.05
FIGURES_MAX = 2
TABLE = 3
PATTERN_EXPLAINED = 80
PATTERN_MAX = 120
ROOT = "root"
"""What the tables of ratchets.toml call the modules beside the rooms."""

SPEAKS_TO_PEOPLE = frozenset({"__main__", "cli", "hooks", "mcp_server"})
TOOL = re.compile(
    # What only a tool is called, then what is an English word too and must look like a call or like code.
    r"\b(?:route_task|plan_dag|review_council|get_trace|steer_run|message_agents)\b"
    r"|\b(?:dispatch|report)\(|`(?:dispatch|report)`"
)
COMMAND = re.compile(r"\bdispatch-mcp (-*[a-z]+|$)")
PATTERN_CALLS = frozenset({"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn"})
PATTERN_SIGNS = re.compile(r"\(\?[:=!<#aiLmsuxP]|\\[bBdDsSwW]|\[\^|\[[a-z]-[a-z]")
ALTERNATIVES = 4
# Written so that this file does not contain what it looks for.
CITATION = re.compile(r"\b(?:seeds?)\s+0\d\d\b|\((?:facts):|\b(?:facts): [a-z]+ §", re.IGNORECASE)
DATA_FILE = re.compile(r"[\w.-]+\.(?:jsonl|json|txt|csv|tsv|toml|diffs)")
LEAST_SHARE = 0.5

Texts = Iterable[tuple[str, str]]


# Imports in circles.


def package_circles(modules: Iterable[source.Module]) -> list[str]:
    """Returns the groups of packages that import each other in a circle, with one import for every arrow."""
    ties = list(measures.ties(modules))
    return [
        _circle(group, ties, measures.package) for group in measures.circles(measures.edges(ties, measures.package))
    ]


def module_circles(modules: Iterable[source.Module]) -> list[str]:
    """Returns the groups of modules that import each other in a circle, imports by name included."""
    ties = list(measures.ties(modules))
    return [_circle(group, ties, str) for group in measures.circles(measures.edges(ties))]


def _circle(group: Collection[str], ties: Iterable[measures.Tie], unit: measures.Unit) -> str:
    arrows: dict[tuple[str, str], str] = {}
    for tie in ties:
        ends = unit(tie.importer), unit(tie.target)
        if ends[0] != ends[1] and set(ends) <= set(group):
            arrows.setdefault(ends, f"{ends[0]} -> {ends[1]} ({tie.place} imports {tie.target})")
    return "; ".join(arrows[ends] for ends in sorted(arrows))


# Names that stand once.


def repeated_module_names(modules: Iterable[source.Module], allowed: Collection[str]) -> list[str]:
    """Returns the module names that stand twice in the product, and what `allowed` lists without need."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        if not module.is_package and module.name != "__main__":
            places[module.name.split(".")[-1]].append(module.name)
    return _repeated(places, allowed)


def repeated_class_names(modules: Iterable[source.Module], allowed: Collection[str]) -> list[str]:
    """Returns the public classes whose name stands twice in the product, likewise."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for node in measures.public_classes(module):
            places[node.name].append(module.at(node))
    return _repeated(places, allowed)


def _repeated(places: Mapping[str, list[str]], allowed: Collection[str]) -> list[str]:
    repeated = {name: where for name, where in places.items() if len(where) > 1}
    return [
        *(f"{name} stands in {', '.join(where)}" for name, where in sorted(repeated.items()) if name not in allowed),
        *_needless(set(allowed) - set(repeated)),
    ]


def _needless(entries: Iterable[str]) -> list[str]:
    return [f"{entry} is allowed and needs it no longer: strike it" for entry in sorted(entries)]


# Sizes of rooms, folders and modules.


def crowded_folders(modules: Iterable[source.Module]) -> list[str]:
    """Returns the folders with more than FOLDER_MAX modules."""
    counts = Counter(module.name.rpartition(".")[0] for module in modules if not module.is_package)
    return [f"{folder or source.PACKAGE} has {count} modules" for folder, count in counts.items() if count > FOLDER_MAX]


def shallow_modules(modules: Iterable[source.Module], allowed: Collection[str]) -> list[str]:
    """Returns the modules under SMALL_MODULE lines that fewer than two modules import, and needless entries."""
    modules = tuple(modules)
    importers = measures.importers(modules)
    shallow = {
        module.name: f"{module.name} has {size} lines and {len(importers[module.name])} importer(s)"
        for module in modules
        if (size := len(module.text.splitlines())) < SMALL_MODULE
        and len(importers[module.name]) <= 1
        and not module.is_package
        and module.name != "__main__"
    }
    return [
        *(line for name, line in sorted(shallow.items()) if name not in allowed),
        *_needless(set(allowed) - set(shallow)),
    ]


def large_rooms(modules: Iterable[source.Module]) -> list[str]:
    """Returns the rooms that hold more than ROOM_SHARE of all lines."""
    lines = code_lines(modules)
    total = sum(lines.values())
    return [
        f"{name} holds {count / total:.1%} of all lines"
        for name, count in sorted(lines.items())
        if name != ROOT and count > ROOM_SHARE * total
    ]


def code_lines(modules: Iterable[source.Module]) -> Mapping[str, int]:
    """Returns the lines of every room, and of ROOT."""
    lines: Counter[str] = Counter()
    for module in modules:
        lines[measures.room(module) or ROOT] += len(module.text.splitlines())
    return lines


# Words.


def unlisted_words(modules: Iterable[source.Module], glossary: str) -> list[str]:
    """Returns the folders, modules and public classes with a word that the glossary does not have.

    A name stands in the glossary as a whole in backticks, or with all its words, each in the singular or the plural.
    """
    words = frozenset(word.lower() for word in re.findall("[A-Za-z]+", glossary))
    whole = frozenset(re.findall(r"`([^`\n]+)`", glossary))
    return [
        f"{place}: {name} is not in the glossary ({', '.join(missing)})"
        for name, place in _names(modules).items()
        if name not in whole and (missing := [word for word in _words(name) if not _variants(word) & words])
    ]


def _names(modules: Iterable[source.Module]) -> Mapping[str, str]:
    places: dict[str, str] = {}
    for module in modules:
        for part in module.name.split("."):
            if part not in {"", "__main__"}:
                places.setdefault(part, module.name)
        for node in measures.public_classes(module):
            places.setdefault(node.name, module.at(node))
    return places


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _variants(word: str) -> frozenset[str]:
    stem = word.removesuffix("s")
    plurals = {f"{word}s", f"{word}es", f"{word.removesuffix('y')}ies"}
    return frozenset({word, stem, word.removesuffix("es"), f"{word.removesuffix('ies')}y", *plurals})


def vague_names(modules: Iterable[source.Module], ceilings: Mapping[str, int]) -> list[str]:
    """Returns the rooms that bind more participles and pronouns than their ceiling, and the ceilings to lower."""
    counts: Counter[str] = Counter()
    frequent: dict[str, Counter[str]] = defaultdict(Counter)
    for module in modules:
        name = measures.room(module) or ROOT
        frequent[name].update(measures.vague_names(module))
        counts[name] = frequent[name].total()
    return [
        *(
            f"{name} binds {count} vague names, its ceiling is {ceilings.get(name, 0)}: {_most(frequent[name])}"
            for name, count in sorted(counts.items())
            if count > ceilings.get(name, 0)
        ),
        *(
            f"{name} binds {counts[name]} vague names: lower its ceiling from {ceiling}"
            for name, ceiling in sorted(ceilings.items())
            if ceiling > counts[name] + CEILING_SLACK or name not in counts
        ),
    ]


def _most(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(TABLE))


def tool_names(modules: Iterable[source.Module]) -> list[str]:
    """Returns the tools and commands that string literals outside the packages that speak to people name."""
    modules = tuple(modules)
    commands = frozenset(module.name.split(".")[-1] for module in modules if ".commands." in module.name)
    return [
        f"{module.at(text)} names {called!r}"
        for module in modules
        if measures.package(module.name) not in SPEAKS_TO_PEOPLE
        for text in _strings(module.tree)
        for called in _called(str(text.value), commands)
    ]


def _called(text: str, commands: Collection[str]) -> Iterator[str]:
    yield from (match.group() for match in TOOL.finditer(text))
    for match in COMMAND.finditer(text):
        if match[1] in commands or match[1].startswith("-") or not match[1]:
            yield match.group()


def _strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yields the string literals that are values, the parts of f-strings too: docstrings are none."""
    nodes = tuple(ast.walk(tree))
    explaining = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explaining:
            yield node


# Reasons where they are needed.


def unexplained_numbers(modules: Iterable[source.Module]) -> list[str]:
    """Returns the statements with a fitted number and no reason for it.

    Fitted is a float of more than FIGURES_MAX significant figures, and every float in a table at the top of a module.
    The reason is a comment on the number's line or directly above the statement, or a docstring below it. A module
    `weights` is written by a script that is its reason.
    """
    return [
        f"{module.at(statement)} does not say where {', '.join(numbers)} come(s) from"
        for module in modules
        if not module.name.split(".")[-1].startswith("weights")
        for statement, numbers in _unexplained_numbers(module)
    ]


def _unexplained_numbers(module: source.Module) -> Iterator[tuple[ast.stmt, list[str]]]:
    reasons = _Reasons(module)
    for statement, nodes in _by_statement(module.text):
        floats = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, float)]
        table = statement in module.tree.body and len(floats) >= TABLE and isinstance(statement, _ASSIGNMENTS)
        fitted = [node for node in floats if table or _figures(module, node) > FIGURES_MAX]
        unexplained = [node for node in fitted if not reasons.of(statement, node)]
        if unexplained:
            yield statement, [str(node.value) for node in unexplained[:TABLE]]


def _figures(module: source.Module, node: ast.Constant) -> int:
    literal = module.beginning(node).lower().partition("e")[0]
    return len(re.sub("[._]", "", literal).strip("0"))


def long_patterns(modules: Iterable[source.Module]) -> list[str]:
    """Returns the patterns over PATTERN_MAX characters, and those over PATTERN_EXPLAINED without a reason."""
    return [
        f"{module.at(node)} has a pattern of {size} characters {problem}"
        for module in modules
        for node, size, problem in _long_patterns(module)
    ]


def _long_patterns(module: source.Module) -> Iterator[tuple[ast.expr, int, str]]:
    reasons = _Reasons(module)
    for statement, nodes in _by_statement(module.text):
        for node, size in _patterns(module, nodes):
            if size > PATTERN_MAX:
                yield node, size, "that belongs in a data file"
            elif size > PATTERN_EXPLAINED and not reasons.of(statement, node):
                yield node, size, "without a comment"


def _patterns(module: source.Module, nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.expr, int]]:
    """Yields the regular expressions of a statement: what is given to `re`, and literals that look like one."""
    nodes = tuple(nodes)
    inside: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and _reads_pattern(node):
            literals = [part for part in ast.walk(node.args[0]) if _is_text(part)]
            inside.update(map(id, literals))
            yield node.args[0], sum(len(_text(part)) for part in literals)
    for node in nodes:
        if not isinstance(node, ast.Constant) or not _is_text(node) or id(node) in inside:
            continue
        if _looks_like_pattern(module, node):
            yield node, len(_text(node))


def _reads_pattern(call: ast.Call) -> bool:
    library, _, function = source.dotted(call.func).rpartition(".")
    return library == "re" and function in PATTERN_CALLS


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _text(node: ast.AST) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _looks_like_pattern(module: source.Module, node: ast.expr) -> bool:
    text = _text(node)
    if len(text) <= PATTERN_EXPLAINED:
        return False
    words = text.count("|") >= ALTERNATIVES and " | " not in text
    raw = module.beginning(node).lower().startswith(("r'", 'r"'))
    return words or raw or PATTERN_SIGNS.search(text) is not None


_ASSIGNMENTS = (ast.Assign, ast.AnnAssign)
_SCOPES = (ast.Module, ast.ClassDef, *measures.FUNCTIONS)


class _Reasons:
    """What a module explains: the lines of its comments, and the statements with a docstring below."""

    def __init__(self, module: source.Module) -> None:
        self._comments = measures.comment_lines(module.text)
        self._documented: set[int] = set()
        for node in module.nodes:
            for statement, below in pairwise(node.body if isinstance(node, _SCOPES) else []):
                if isinstance(below, ast.Expr) and _is_text(below.value) and isinstance(statement, _ASSIGNMENTS):
                    self._documented.add(id(statement))

    def of(self, statement: ast.stmt, node: ast.expr) -> bool:
        """Tells whether a node has a reason: on a line of its own, above its statement or below it."""
        lines = {statement.lineno - 1, *range(node.lineno, (node.end_lineno or node.lineno) + 1)}
        return bool(lines & self._comments) or id(statement) in self._documented


@functools.cache
def _by_statement(text: str) -> tuple[tuple[ast.stmt, tuple[ast.AST, ...]], ...]:
    """Returns every statement with the nodes that belong to it and to no statement inside it; docstrings are none."""
    return tuple(
        (statement, tuple(_own_nodes(statement)))
        for statement in source.nodes(text)
        if isinstance(statement, ast.stmt) and not (isinstance(statement, ast.Expr) and _is_text(statement.value))
    )


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield child
            yield from _own_nodes(child)


def citations(texts: Texts) -> list[str]:
    """Returns the places that cite documents which are not in the repository."""
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1} cites {match.group()!r}"
        for name, text in texts
        for match in CITATION.finditer(text)
    ]


# Tests.


def thin_tests(code: Mapping[str, int], tests: Mapping[str, int], floors: Mapping[str, float]) -> list[str]:
    """Returns the rooms with fewer test lines per line of code than their floor, and the floors to raise.

    A room without a floor has TEST_RATIO.
    """
    ratios = {name: tests.get(name, 0) / lines for name, lines in code.items() if lines}
    return [
        *(
            f"{name} has {ratio:.2f} lines of tests for one of code, its floor is {floors.get(name, TEST_RATIO)}"
            for name, ratio in sorted(ratios.items())
            if ratio < floors.get(name, TEST_RATIO)
        ),
        *(
            f"{name} has {ratios.get(name, TEST_RATIO):.2f} lines of tests for one of code: raise the floor {floor}"
            for name, floor in sorted(floors.items())
            if floor + FLOOR_SLACK < min(ratios.get(name, TEST_RATIO), TEST_RATIO) or name not in ratios
        ),
    ]


def accuracy_on_fitted_files(tests: Texts, scripts: Texts) -> list[str]:
    """Returns the tests that assert a share of right answers on a file that a fitting script reads."""
    fitted = {file: name for name, text in scripts for file in _data_files(text)}
    return [
        f"{name} measures accuracy on {file}, which {fitted[file]} reads"
        for name, text in tests
        if any(file in text for file in fitted) and _asserts_share(text)
        for file in sorted(_data_files(text))
        if file in fitted
    ]


def _data_files(text: str) -> frozenset[str]:
    literals = (str(node.value) for node in _strings(source.parse(text)))
    return frozenset(
        literal.rpartition("/")[2] for literal in literals if DATA_FILE.fullmatch(literal.rpartition("/")[2])
    )


def _asserts_share(text: str) -> bool:
    """Tells whether a test asserts that something is at least a share of a half or more."""
    return any(
        isinstance(side, ast.Constant) and isinstance(side.value, float) and LEAST_SHARE <= side.value <= 1.0
        for node in ast.walk(source.parse(text))
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare)
        for side in (node.test.left, *node.test.comparators)
    )
