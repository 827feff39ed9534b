"""Prints the figures by which this house is judged, or walks through it from one function.

`python scripts/house.py [--root DIR] [--json]` measures the product and the tests of the checkout in DIR, this folder
if it is left out. `--ceilings` prints the tables of tests/architecture/ratchets.toml as they hold today.
`--walk MODULE:FUNCTION` lists the calls that one function makes, in order and depth first, with the room (the folder)
of each: `--walk service.dispatcher:Dispatcher.report`. `--depth N` leaves out what is called deeper.

How it counts. Function sizes: physical lines without the docstring. Comments: lines with one, directives to tools left
out. Names: every place that binds one, as `measures.bound_names` says; a vague one is a participle or a pronoun. A
module's importers: by import statement. A test's privates: attributes that begin with one underscore, `self` left out.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "architecture"))
import measures
import source

import walks

Figure = float | str | Sequence["Figure"]
Figures = Mapping[str, Figure | Mapping[str, Figure]]
MOST_FREQUENT = 40
LONG_TEST = 40
ROOT = "root"
"""The modules beside the rooms, and the tests beside the folders."""


@dataclass(frozen=True)
class Checkout:
    """The product's modules, and the tests by their folder below `tests` ("" for those beside the folders)."""

    modules: tuple[source.Module, ...]
    tests: tuple[tuple[str, str], ...]


def read(root: Path) -> Checkout:
    """Returns the product and the tests of a checkout."""
    tests = sorted((root / "tests").rglob("*.py"))
    folders = [path.relative_to(root / "tests").parts[:-1] for path in tests]
    return Checkout(
        tuple(_modules(root / "server" / source.PACKAGE)),
        tuple((parts[0] if parts else "", path.read_text("utf-8")) for parts, path in zip(folders, tests, strict=True)),
    )


def _modules(folder: Path) -> Iterator[source.Module]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield source.Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package)


def figures(checkout: Checkout) -> Figures:
    """Returns all figures by name."""
    return {
        **sizes(checkout.modules),
        **explanations(checkout.modules),
        **names(checkout.modules),
        **tests(checkout),
        **rooms(checkout),
        **structure(checkout.modules),
    }


def sizes(modules: Sequence[source.Module]) -> Figures:
    """Returns how large files and functions are, and which imports hide in functions."""
    files = sorted(len(module.text.splitlines()) for module in modules)
    functions = sorted(measures.body_lines(function) for module in modules for function in source.functions(module))
    by_name = [
        f"{module.at(call)} {ast.unparse(call.args[0])}"
        for module in modules
        for name, call in source.calls(module)
        if name.split(".")[-1] == "import_module" and call.args and source.PACKAGE in ast.unparse(call.args[0])
    ]
    return {
        "files / lines": [len(files), sum(files)],
        "file lines: median / p90 / max": [statistics.median(files), share_point(files, 0.9), files[-1]],
        "function lines: median / p75 / p90 / p99 / max": [
            *(share_point(functions, share) for share in (0.5, 0.75, 0.9, 0.99)),
            functions[-1],
        ],
        "imports in functions": sum(line.inside_function for module in modules for line in source.imports(module)),
        "own modules imported by name": by_name,
    }


def share_point(ordered: Sequence[int], share: float) -> int:
    """Returns the value that a share of all values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def explanations(modules: Sequence[source.Module]) -> Figures:
    """Returns how much is explained, per 1,000 lines."""
    total = sum(len(module.text.splitlines()) for module in modules) / 1000
    comments = sum(len(measures.comment_lines(module.text)) for module in modules)
    docstrings = sum(measures.lines(text) for module in modules for text in measures.docstrings(module.tree))
    return {
        "comment lines per 1,000": round(comments / total, 1),
        "docstring lines per 1,000": round(docstrings / total, 1),
    }


def names(modules: Sequence[source.Module]) -> Figures:
    """Returns how many names say nothing of their values, by package and by name."""
    total = sum(1 for module in modules for _ in measures.bound_names(module.tree))
    vague = {module: measures.vague_names(module) for module in modules}
    by_name = Counter(name for words in vague.values() for name in words)
    by_room: Counter[str] = Counter()
    for module, words in vague.items():
        by_room[measures.room(module) or ROOT] += len(words)
    return {
        "names that are participles or pronouns / all names / share": [
            by_name.total(),
            total,
            round(by_name.total() / total, 4),
        ],
        "participles and pronouns by room": dict(by_room.most_common()),
        "participles and pronouns by name": dict(by_name.most_common(MOST_FREQUENT)),
    }


def tests(checkout: Checkout) -> Figures:
    """Returns what the tests are like."""
    functions = [
        node
        for _, text in checkout.tests
        for node in ast.walk(ast.parse(text))
        if isinstance(node, measures.FUNCTIONS) and node.name.startswith("test_")
    ]
    code = sum(len(module.text.splitlines()) for module in checkout.modules)
    lines = sum(len(text.splitlines()) for _, text in checkout.tests)
    return {
        "test lines / code lines / ratio": [lines, code, round(lines / code, 2)],
        "tests: count / without assertion / touching privates / over 40 lines": [
            len(functions),
            sum(not asserts(function) for function in functions),
            sum(touches_privates(function) for function in functions),
            sum(measures.lines(function) > LONG_TEST for function in functions),
        ],
    }


def asserts(function: ast.AST) -> bool:
    """Tells whether a test asserts anything, or expects an exception or a warning."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call) and source.dotted(node.func).split(".")[-1] in {"raises", "warns", "fail"}:
            return True
    return False


def touches_privates(function: ast.AST) -> bool:
    """Tells whether a test reads or writes a private attribute of anything but itself."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and source.dotted(node.value) not in {"self", "cls"}
        for node in ast.walk(function)
    )


def rooms(checkout: Checkout) -> Figures:
    """Returns for every room its lines, its share of the house and its tests; then the tests that belong to none."""
    code: Counter[str] = Counter()
    for module in checkout.modules:
        code[measures.room(module)] += len(module.text.splitlines())
    tested: Counter[str] = Counter()
    for folder, text in checkout.tests:
        tested[folder] += len(text.splitlines())
    return {
        "rooms: lines / share / test lines / ratio": {
            name or ROOT: [lines, round(lines / code.total(), 3), tested[name], round(tested[name] / lines, 2)]
            for name, lines in code.most_common()
        },
        "test lines of no room": {name: lines for name, lines in sorted(tested.items()) if name not in code},
    }


def structure(modules: Sequence[source.Module]) -> Figures:
    """Returns what is imported once, what bears the same name and what imports itself in a circle."""
    ties = list(measures.ties(modules))
    importers: dict[str, set[str]] = defaultdict(set)
    for tie in ties:
        if not tie.by_name:
            importers[tie.target].add(tie.importer)
    alone = [module for module in modules if len(importers[module.name]) == 1]
    classes = ((node.name, module.name) for module in modules for node in measures.public_classes(module))
    files = ((module.name.split(".")[-1], module.name) for module in modules if not module.is_package)
    return {
        "modules with one importer / their lines": [len(alone), sum(len(module.text.splitlines()) for module in alone)],
        "module names that stand twice": repeated(files),
        "public class names that stand twice": repeated(classes),
        "circles of packages": [list(group) for group in measures.circles(measures.edges(ties, measures.package))],
        "circles of modules": [list(group) for group in measures.circles(measures.edges(ties))],
    }


def ceilings(checkout: Checkout) -> Iterator[str]:
    """Yields the tables of ratchets.toml in which every room has a number of its own."""
    vague: Counter[str] = Counter()
    code: Counter[str] = Counter()
    tested: Counter[str] = Counter()
    for module in checkout.modules:
        name = measures.room(module) or ROOT
        vague[name] += len(measures.vague_names(module))
        code[name] += len(module.text.splitlines())
    for folder, text in checkout.tests:
        tested[folder or ROOT] += len(text.splitlines())
    yield from ("[vague_names]", *(f"{name} = {vague[name]}" for name in sorted(code) if vague[name]))
    ratios = {name: math.floor(100 * tested[name] / lines) / 100 for name, lines in sorted(code.items())}
    yield from ("", "[test_lines]", *(f"{name} = {ratio}" for name, ratio in ratios.items() if ratio < 1.0))


def repeated(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Returns the names that stand in more than one place, with the places."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in pairs:
        places[name].append(place)
    return {name: where for name, where in sorted(places.items()) if len(where) > 1}


def lines_of(measured: Figures) -> Iterator[str]:
    """Yields the figures for readers."""
    for name, value in measured.items():
        if isinstance(value, Mapping):
            yield f"{name}: {len(value)}"
            yield from (f"    {key}: {cell(part)}" for key, part in value.items())
        else:
            yield f"{name}: {cell(value)}"


def cell(value: Figure) -> str:
    """Returns numbers beside each other, and other lists behind their number."""
    if isinstance(value, str | int | float):
        return str(value)
    numbers = [part for part in value if isinstance(part, int | float)]
    if numbers and len(numbers) == len(value):
        return " / ".join(f"{number:,}" for number in numbers)
    return "; ".join([str(len(value)), *(part if isinstance(part, str) else cell(part) for part in value)])


def main() -> None:
    """Prints what the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout to measure, by default this folder")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--ceilings", action="store_true", help="the tables of ratchets.toml as they hold today")
    parser.add_argument("--walk", metavar="MODULE:FUNCTION", help="the calls of one function, in order")
    parser.add_argument("--depth", type=int, default=walks.DEPTH_MAX, help="how deep a walk lists calls")
    options = parser.parse_args()
    checkout = read(options.root)
    if options.walk:
        print("\n".join(walks.lines(checkout.modules, options.walk, options.depth)))
    elif options.ceilings:
        print("\n".join(ceilings(checkout)))
    else:
        measured = figures(checkout)
        print(json.dumps(measured, indent=1) if options.json else "\n".join(lines_of(measured)))


if __name__ == "__main__":
    main()
