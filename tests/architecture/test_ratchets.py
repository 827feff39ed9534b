from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ratchets
import source
import test_tracked_files

Check = Callable[[], list[str]]

HERE = Path(__file__).parent
TESTS = source.REPOSITORY / "tests"
GLOSSARY = source.REPOSITORY / "docs" / "concepts.md"
LIMITS: Mapping[str, Any] = tomllib.loads((HERE / "ratchets.toml").read_text("utf-8"))
EXEMPT: Mapping[str, str] = LIMITS["exempt"]


@cache
def texts(folder: Path, pattern: str) -> tuple[tuple[str, str], ...]:
    paths = sorted(folder.rglob(pattern))
    return tuple((path.relative_to(source.REPOSITORY).as_posix(), path.read_text("utf-8")) for path in paths)


def lines_of_tests() -> Mapping[str, int]:
    """Returns the lines of tests by folder below `tests`, and of those beside the folders as ROOT."""
    lines: Counter[str] = Counter()
    for name, text in texts(TESTS, "*.py"):
        folder = name.split("/")[1]
        lines[ratchets.ROOT if folder.endswith(".py") else folder] += len(text.splitlines())
    return lines


RULES: dict[str, Check] = {
    "package_circles": lambda: ratchets.package_circles(source.modules()),
    "module_circles": lambda: ratchets.module_circles(source.modules()),
    "repeated_module_names": lambda: ratchets.repeated_module_names(
        source.modules(), LIMITS["allowed"]["module_names"]
    ),
    "repeated_class_names": lambda: ratchets.repeated_class_names(source.modules(), LIMITS["allowed"]["class_names"]),
    "crowded_folders": lambda: ratchets.crowded_folders(source.modules()),
    "shallow_modules": lambda: ratchets.shallow_modules(source.modules(), LIMITS["allowed"]["shallow_modules"]),
    "large_rooms": lambda: ratchets.large_rooms(source.modules()),
    "unlisted_words": lambda: ratchets.unlisted_words(source.modules(), GLOSSARY.read_text("utf-8")),
    "vague_names": lambda: ratchets.vague_names(source.modules(), LIMITS["vague_names"]),
    "tool_names": lambda: ratchets.tool_names(source.modules()),
    "unexplained_numbers": lambda: ratchets.unexplained_numbers(source.modules()),
    "long_patterns": lambda: ratchets.long_patterns(source.modules()),
    "citations": lambda: ratchets.citations(test_tracked_files.tracked_texts()),
    "thin_tests": lambda: ratchets.thin_tests(
        ratchets.code_lines(source.modules()), lines_of_tests(), LIMITS["test_lines"]
    ),
    "accuracy_on_fitted_files": lambda: ratchets.accuracy_on_fitted_files(
        texts(TESTS, "test_*.py"), texts(source.REPOSITORY / "scripts", "fit_*.py")
    ),
}


def test_the_product_keeps_each_ratchet() -> None:  # all of them in one process, as each reads the whole product
    faults = {name: check() for name, check in RULES.items() if name not in EXEMPT}
    assert {name: lines for name, lines in faults.items() if lines} == {}


@pytest.mark.parametrize("name", EXEMPT)
def test_a_rule_that_holds_is_not_exempt(name: str) -> None:
    assert RULES[name](), f"{name} holds: strike it from [exempt] of ratchets.toml"


@pytest.mark.parametrize("name", EXEMPT)
def test_an_exemption_has_a_reason(name: str) -> None:
    assert EXEMPT[name].strip()


def world(**sources: str) -> list[source.Module]:
    """Returns modules with these sources; `routing__router` stands for routing.router, `routing__` for the package."""
    names = {name: name if name == "__main__" else name.replace("__", ".") for name in sources}
    return [source.Module(dotted.rstrip("."), sources[name], dotted.endswith(".")) for name, dotted in names.items()]


def lines(count: int) -> str:
    return "\nx = 1" * count


_A = "class A: ..."
IMPORTS_B = "from dispatch_mcp.agents import b"
IMPORTS_A = "from dispatch_mcp.routing import a"
IMPORTS_A_BY_NAME = "import importlib\ndef f(): return importlib.import_module('dispatch_mcp.routing.a')"
IMPORTS_ALL = "from importlib import import_module\ndef f(x): return import_module(f'dispatch_mcp.routing.{x}')"
PATTERN_OF_90 = '"' + "|".join(["delete"] * 13) + '"'
PATTERN_OF_130 = 'r"' + r"\bremove" * 17 + '"'
MEASURES_ACCURACY = "rows = load('data/cases.jsonl')\ndef test_it():\n    assert share(rows) >= 0.9"
MEASURES_NOTHING = "rows = load('data/cases.jsonl')\ndef test_it():\n    assert rows"
CITED = "as se" + "ed 004 says"
FACTS = "(fa" + "cts: planning B5)"

# One offence each. A rule that lets its offence pass guards nothing.
OFFENCES: list[tuple[str, Check]] = [
    ("package_circles", lambda: ratchets.package_circles(world(routing__a=IMPORTS_B, agents__b=IMPORTS_A))),
    ("package_circles", lambda: ratchets.package_circles(world(routing__a=IMPORTS_B, agents__b=IMPORTS_A_BY_NAME))),
    ("package_circles", lambda: ratchets.package_circles(world(routing__a=IMPORTS_B, agents__b=IMPORTS_ALL))),
    (
        "package_circles",
        # The packages' modules make no circle: only the packages do.
        lambda: ratchets.package_circles(
            world(routing__a="", routing__c=IMPORTS_B, agents__b="", agents__d="import dispatch_mcp.routing.a")
        ),
    ),
    (
        "package_circles",
        lambda: ratchets.package_circles(
            world(model__="", model__a="from dispatch_mcp import text", text__="import dispatch_mcp.model")
        ),
    ),
    ("module_circles", lambda: ratchets.module_circles(world(routing__a=IMPORTS_B, agents__b=IMPORTS_A_BY_NAME))),
    ("repeated_module_names", lambda: ratchets.repeated_module_names(world(routing__index="", context__index=""), ())),
    ("repeated_module_names", lambda: ratchets.repeated_module_names(world(config="", cli__config=""), ())),
    ("repeated_module_names", lambda: ratchets.repeated_module_names(world(routing__index=""), ["index"])),
    ("repeated_class_names", lambda: ratchets.repeated_class_names(world(runs__a=_A, runs__b=_A), ())),
    ("repeated_class_names", lambda: ratchets.repeated_class_names(world(runs__a=_A, runs__c__b=_A), ())),
    ("repeated_class_names", lambda: ratchets.repeated_class_names(world(runs__a=_A, git__a=_A), ())),
    ("repeated_class_names", lambda: ratchets.repeated_class_names(world(runs__a=_A), ["A"])),
    ("crowded_folders", lambda: ratchets.crowded_folders(world(**{f"runs__m{n}": "" for n in range(21)}))),
    ("shallow_modules", lambda: ratchets.shallow_modules(world(routing__a="", agents__b=IMPORTS_A + lines(40)), ())),
    ("shallow_modules", lambda: ratchets.shallow_modules(world(routing__a=lines(40)), ["routing.a"])),
    ("large_rooms", lambda: ratchets.large_rooms(world(runs__a=lines(15), app=lines(83)))),
    ("unlisted_words", lambda: ratchets.unlisted_words(world(runs__="", runs__warden=""), "A run.")),
    ("unlisted_words", lambda: ratchets.unlisted_words(world(runs__budget="class RunCamera: ..."), "Run, budget")),
    ("unlisted_words", lambda: ratchets.unlisted_words(world(wardens__=""), "A run.")),
    ("vague_names", lambda: ratchets.vague_names(world(runs__a="found = 1"), {})),
    (
        "vague_names",
        lambda: ratchets.vague_names(world(runs__a="def f(known): return [one for one in known]"), {"runs": 1}),
    ),
    ("vague_names", lambda: ratchets.vague_names(world(runs__a="for asked in (): pass"), {"runs": 7})),
    ("vague_names", lambda: ratchets.vague_names(world(runs__a=""), {"core": 0})),
    ("tool_names", lambda: ratchets.tool_names(world(runs__a="x = 'Read get_trace.'"))),
    ("tool_names", lambda: ratchets.tool_names(world(runs__a="x = f'Call dispatch(run_id={y})'"))),
    ("tool_names", lambda: ratchets.tool_names(world(runs__a="x = 'send all in one `report`'"))),
    ("tool_names", lambda: ratchets.tool_names(world(runs__a="x = '`dispatch-mcp apply`'", cli__commands__apply=""))),
    ("tool_names", lambda: ratchets.tool_names(world(runs__a="x = f'dispatch-mcp {name}'"))),
    ("unexplained_numbers", lambda: ratchets.unexplained_numbers(world(routing__a="x = 0.446"))),
    ("unexplained_numbers", lambda: ratchets.unexplained_numbers(world(routing__a="def f(y=1.31e-3): return y"))),
    (
        "unexplained_numbers",
        lambda: ratchets.unexplained_numbers(world(routing__a="X = {\n 'a': 1.2,\n 'b': (0.5, 2.0),\n}")),
    ),
    ("long_patterns", lambda: ratchets.long_patterns(world(text__a=f"import re\nx = re.compile({PATTERN_OF_90})"))),
    ("long_patterns", lambda: ratchets.long_patterns(world(text__a=f"X = [{PATTERN_OF_90}]"))),
    ("long_patterns", lambda: ratchets.long_patterns(world(text__a=f"# why\nX = {PATTERN_OF_130}"))),
    ("citations", lambda: ratchets.citations([("a.md", CITED)])),
    ("citations", lambda: ratchets.citations([("a.md", CITED.replace(" 0", "\n0").replace("seed", "Seeds"))])),
    ("citations", lambda: ratchets.citations([("a.md", FACTS)])),
    ("thin_tests", lambda: ratchets.thin_tests({"runs": 100}, {"runs": 99}, {})),
    ("thin_tests", lambda: ratchets.thin_tests({"runs": 100}, {}, {"runs": 0.5})),
    ("thin_tests", lambda: ratchets.thin_tests({"runs": 100}, {"runs": 80}, {"runs": 0.7})),
    ("thin_tests", lambda: ratchets.thin_tests({"runs": 100}, {"runs": 100}, {"core": 0.7})),
    (
        "accuracy_on_fitted_files",
        lambda: ratchets.accuracy_on_fitted_files([("t.py", MEASURES_ACCURACY)], [("fit_x.py", "X = 'cases.jsonl'")]),
    ),
]

# What looks like an offence and is none.
ALLOWED: list[tuple[str, Check]] = [
    (
        "package_circles",
        lambda: ratchets.package_circles(world(routing__a=IMPORTS_B, routing__c=IMPORTS_A, agents__b="")),
    ),
    (
        "package_circles",
        lambda: ratchets.package_circles(world(model__="from dispatch_mcp.model import types", model__types="")),
    ),
    (
        "module_circles",
        lambda: ratchets.module_circles(world(routing__a=IMPORTS_B, routing__c=IMPORTS_A, agents__b="")),
    ),
    (
        "repeated_module_names",
        lambda: ratchets.repeated_module_names(world(store__="", store__store="", runs__a=""), ()),
    ),
    ("repeated_module_names", lambda: ratchets.repeated_module_names(world(a__index="", b__index=""), ["index"])),
    ("repeated_class_names", lambda: ratchets.repeated_class_names(world(runs__a=_A, git__a=_A), ["A"])),
    (
        "repeated_class_names",
        lambda: ratchets.repeated_class_names(world(runs__a="class _A: ...", runs__b="class _A: ..."), ()),
    ),
    ("crowded_folders", lambda: ratchets.crowded_folders(world(runs__="", **{f"runs__m{n}": "" for n in range(20)}))),
    (
        "shallow_modules",
        lambda: ratchets.shallow_modules(
            world(routing__a="", agents__b=IMPORTS_A + lines(40), agents__c=IMPORTS_A_BY_NAME + lines(40)), ()
        ),
    ),
    ("shallow_modules", lambda: ratchets.shallow_modules(world(__main__="", runs__=""), ())),
    ("shallow_modules", lambda: ratchets.shallow_modules(world(routing__a=""), ["routing.a"])),
    ("large_rooms", lambda: ratchets.large_rooms(world(runs__a=lines(14), app=lines(84)))),
    (
        "unlisted_words",
        lambda: ratchets.unlisted_words(
            world(runs__work_order="class RunPolicy: ..."), "Runs, orders of work, policies"
        ),
    ),
    ("unlisted_words", lambda: ratchets.unlisted_words(world(runs__a2a_card=""), "A run has an `a2a_card`.")),
    ("vague_names", lambda: ratchets.vague_names(world(runs__a="found = one = 1"), {"runs": 2})),
    (
        "vague_names",
        lambda: ratchets.vague_names(world(runs__a="matches = speed = need = known_agents = 1\ndef told(): ..."), {}),
    ),
    ("tool_names", lambda: ratchets.tool_names(world(runs__a="'''Answers get_trace.'''\nx = 'report', 'dispatch it'"))),
    (
        "tool_names",
        lambda: ratchets.tool_names(world(mcp_server__a="x = 'get_trace'", cli__b="x = 'dispatch-mcp serve'")),
    ),
    (
        "tool_names",
        lambda: ratchets.tool_names(world(runs__a="x = 'this dispatch-mcp knows'", cli__commands__apply="")),
    ),
    ("unexplained_numbers", lambda: ratchets.unexplained_numbers(world(routing__a="x = 0.5, 12.0\ny = 0.05"))),
    ("unexplained_numbers", lambda: ratchets.unexplained_numbers(world(routing__a="# Least loss.\nX = 0.446"))),
    (
        "unexplained_numbers",
        lambda: ratchets.unexplained_numbers(world(routing__a="X = {\n    'a': 0.446,  # least loss\n}")),
    ),
    ("unexplained_numbers", lambda: ratchets.unexplained_numbers(world(routing__a="X = 0.446\n'''Least loss.'''"))),
    ("unexplained_numbers", lambda: ratchets.unexplained_numbers(world(routing__weights="X = 0.446, 1.31"))),
    ("long_patterns", lambda: ratchets.long_patterns(world(text__a=f"# why\nX = {PATTERN_OF_90}"))),
    (
        "long_patterns",
        lambda: ratchets.long_patterns(
            world(text__a="X = 'a sentence with as many words as it takes " + "to be long " * 9 + "'")
        ),
    ),
    (
        "citations",
        lambda: ratchets.citations([("a.md", "run it with --seed 7; facts: three of them; artifacts: none")]),
    ),
    ("thin_tests", lambda: ratchets.thin_tests({"runs": 100, "git": 10}, {"runs": 100, "git": 5}, {"git": 0.5})),
    (
        "accuracy_on_fitted_files",
        lambda: ratchets.accuracy_on_fitted_files(
            [("t.py", MEASURES_ACCURACY), ("u.py", MEASURES_NOTHING.replace("cases", "fitted"))],
            [("fit_x.py", "X = 'fitted.jsonl'")],
        ),
    ),
]


@pytest.mark.parametrize(("rule", "check"), OFFENCES)
def test_the_ratchet_finds_an_offence(rule: str, check: Check) -> None:
    assert check(), rule


@pytest.mark.parametrize(("rule", "check"), ALLOWED)
def test_the_ratchet_lets_good_code_pass(rule: str, check: Check) -> None:
    assert check() == [], rule


def test_every_ratchet_has_an_offence_that_it_finds() -> None:
    assert {rule for rule, _ in OFFENCES} == set(RULES) == {rule for rule, _ in ALLOWED}


def test_a_circle_is_told_with_one_import_for_every_arrow() -> None:
    circle = ratchets.package_circles(world(routing__a=IMPORTS_B, agents__b=f"\n{IMPORTS_A}"))
    assert circle == [
        "agents -> routing (agents.b:2 imports routing.a); routing -> agents (routing.a:1 imports agents.b)"
    ]
