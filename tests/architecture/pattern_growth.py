"""Every compiled pattern of the package, and strings made from it that would make it slow if it can be slow."""

# What the modules of a package hold has no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import growth

import dispatch_mcp

_PARSER: Any = importlib.import_module("re._parser")
"""The parser of the standard library, which has no public name and no types."""

TINY, LENGTHS = 12, (400, 1600, 6400)
"""Each of the lengths is four times the one before."""

GROWTH = 8
"""Four times the length may cost this much more: a linear pattern needs 4 times as long, a quadratic one 16."""

DOUBTFUL = 5
"""What grows by no more than this is linear, however little it costs."""

NOTICEABLE_S = 0.0003
"""What costs less than this is not judged, as the clock cannot tell it from noise; if doubtful, a longer is."""

EXPLOSIVE_S = 0.002
"""What costs this for TINY characters grows with a power of the length; longer strings would never end."""

_UNITS = (
    "a",
    "A",
    "1",
    " ",
    "\n",
    "\t",
    "_",
    "a.",
    "a/",
    "a b",
    "a\n",
    "aA",
    " \n",
    "/",
    ".",
    "-a",
    "\\",
    '"',
    "'",
    "`",
)
_METHODS = "search|match|fullmatch|finditer|findall|subn?|split"


class Attack(NamedTuple):
    """A string that grows: its beginning, what is repeated, its end."""

    beginning: str
    unit: str
    end: str

    def text(self, length: int) -> str:
        return self.beginning + (self.unit * (length // len(self.unit) + 1))[:length] + self.end


EXTRAS = frozenset({"temporalio", "obstore", "opentelemetry.sdk"})
"""Libraries that an extra brings: what imports one is looked at where it is installed."""


class NamedPattern(NamedTuple):
    """A pattern, the name under which it stands, and the methods that are called of it."""

    name: str
    pattern: re.Pattern[str]
    methods: frozenset[str]


def of_package() -> list[NamedPattern]:
    """Returns every pattern that a module of the package holds, alone or in a table."""
    patterns: dict[tuple[str, int], NamedPattern] = {}
    for module in pkgutil.walk_packages(dispatch_mcp.__path__, "dispatch_mcp."):
        if module.name.endswith("__main__"):
            continue
        try:
            content = importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if missing.name not in EXTRAS:
                raise
            continue
        source = _source(content)
        for name, value in list(vars(content).items()):
            for pattern in _patterns(value):
                methods = frozenset(re.findall(rf"\b{name}\.({_METHODS})\b", source)) or {"search"}
                key = (pattern.pattern, pattern.flags)
                patterns.setdefault(key, NamedPattern(f"{module.name}.{name}", pattern, frozenset(methods)))
    return sorted(patterns.values(), key=lambda pattern: pattern.name)


def _source(module: Any) -> str:
    file = getattr(module, "__file__", None)
    if file is None:
        return ""
    return Path(file).read_text("utf-8")


def _patterns(value: Any, depth: int = 0) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        pattern: re.Pattern[Any] = value
        if isinstance(pattern.pattern, str):
            yield pattern
    elif depth < 4 and not isinstance(value, type):
        for item in _inner(value):
            yield from _patterns(item, depth + 1)


def _inner(value: Any) -> list[Any]:
    """Returns what a table or a record holds; nothing of long tables of data."""
    if isinstance(value, Mapping):
        table: Mapping[Any, Any] = value
        return list(table.values())
    if isinstance(value, (list, tuple)):
        items: list[Any] = list(value)
        lazy: Any = getattr(value, "regex", None)  # compiled only when it is needed
        return [*items, lazy] if len(items) < 500 else []
    fields: Mapping[str, Any] = getattr(value, "__dataclass_fields__", {})
    return [getattr(value, field, None) for field in fields]


def attacks(pattern: re.Pattern[str]) -> list[Attack]:
    """Returns strings that repeat what the pattern repeats, behind what comes before it, and end in what it lacks."""
    tree: Any = _PARSER.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    letters = list(dict.fromkeys(_letters(tree)))[:16]
    units = dict.fromkeys([*letters, _example(tree), *_UNITS])
    repeats = list(dict.fromkeys(_repeats(tree)))
    every = [
        *(Attack("", unit, "\x00") for unit in units if unit),
        *(Attack(beginning, unit, end) for beginning, unit in repeats for end in ("\x00", "\n!")),
        *(Attack("", beginning + unit, "\x00") for beginning, unit in repeats),
    ]
    return list(dict.fromkeys(every))


def _letters(tree: Any) -> Iterator[str]:
    for operation, argument in tree:
        name = str(operation)
        if name == "LITERAL":
            yield chr(argument)
        elif name == "IN":
            for kind, content in argument:
                if str(kind) == "LITERAL":
                    yield chr(content)
                elif str(kind) == "RANGE":
                    yield chr(content[0])
                elif str(kind) == "CATEGORY":
                    yield {"CATEGORY_SPACE": " ", "CATEGORY_DIGIT": "1", "CATEGORY_NOT_WORD": " "}.get(
                        str(content), "a"
                    )
                else:
                    yield "a"
        elif name in ("ANY", "NOT_LITERAL"):
            yield "a" if name == "ANY" or chr(argument) != "a" else "b"
        else:
            for part in _parts(name, argument):
                yield from _letters(part)


def _parts(name: str, argument: Any) -> list[Any]:
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [argument[2]]
    if name == "SUBPATTERN":
        return [argument[3]]
    if name == "BRANCH":
        return list(argument[1])
    if name == "ATOMIC_GROUP":
        return [argument]
    return [argument[1]] if name in ("ASSERT", "ASSERT_NOT") else []


def _example(tree: Any) -> str:
    """Returns a string that the pattern matches, or nearly."""
    text = ""
    for operation, argument in tree:
        name = str(operation)
        if name in ("AT", "ASSERT", "ASSERT_NOT", "GROUPREF"):
            continue
        parts = _parts(name, argument)
        if not parts:
            text += next(_letters([(operation, argument)]), "a")
        else:
            times = max(argument[0], 1) if name.endswith("REPEAT") else 1
            text += _example(parts[0]) * times
    return text


def _repeats(tree: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yields what the pattern repeats without a small bound, each with what has to stand before it."""
    items = list(tree)
    for position, (operation, argument) in enumerate(items):
        name = str(operation)
        parts = _parts(name, argument)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and argument[1] > 50:
            # What comes next, again and again: a repeat that could hold it gives it back once for each time.
            following = _example(items[position + 1 : position + 4])
            for unit in dict.fromkeys([_example(parts[0]), *list(_letters(parts[0]))[:3], f"{following} "]):
                if unit:
                    yield before, unit
        for part in parts:
            yield from _repeats(part, before)
        if name not in ("AT", "ASSERT", "ASSERT_NOT"):
            before += _example([(operation, argument)])


def slow(pattern: NamedPattern, tries: Collection[Attack] | None = None) -> list[str]:
    """Returns for each attack that costs more than linear time what it was and what it cost; at most one a method."""
    faults: list[str] = []
    every = attacks(pattern.pattern) if tries is None else tries
    for method in sorted(pattern.methods):
        call = _call(pattern.pattern, method)
        for attack in every:
            tiny = functools.partial(call, attack.text(TINY))
            if growth.best_s(tiny, EXPLOSIVE_S) > EXPLOSIVE_S:
                faults.append(
                    f"{pattern.name}.{method}: {attack.beginning!r} + {attack.unit!r} * n: grows without bound"
                )
                break
            growth_ = _growth(call, attack)
            if growth_:
                faults.append(f"{pattern.name}.{method}: {attack.beginning!r} + {attack.unit!r} * n: {growth_}")
                break
    return faults


def _growth(call: Callable[[str], object], attack: Attack) -> str:
    """Returns what two of the lengths cost at best where that stays more than linear; else nothing."""
    for short, long in itertools.pairwise(LENGTHS):
        few, many = (functools.partial(call, attack.text(length)) for length in (short, long))
        short_s, long_s = growth.best_s(few, 0.0, growth.SURE), growth.best_s(many, NOTICEABLE_S, growth.SURE)
        for _ in range(growth.ROUNDS):
            if long_s <= max(GROWTH * short_s, NOTICEABLE_S):
                break
            short_s, long_s = min(short_s, growth.cost_s(few)), min(long_s, growth.cost_s(many))
        else:
            return f"{short_s * 1000:.2f} ms for {short} characters, {long_s * 1000:.2f} ms for {long}"
        if long_s <= DOUBTFUL * short_s:
            break
    return ""


def _call(pattern: re.Pattern[str], method: str) -> Callable[[str], object]:
    if method in ("sub", "subn"):
        return lambda text: pattern.sub("", text)
    if method == "finditer":
        return lambda text: sum(1 for _ in pattern.finditer(text))
    function: Callable[[str], object] = getattr(pattern, method)
    return function
