"""The least and the most that figures can be: one table for every door.

Doors are the arguments of tools, plans, settings, the command line, agent files and what workers say that they used.
What is beyond is refused there. The bounds are far above what is possible and far below where the sums of the largest
run would leave the 64 bits of the store's integers.
"""

from __future__ import annotations

import types as python_types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from dispatch_mcp.text import json_types

MAX_TASKS: Final = 10_000
MAX_PARALLEL: Final = 64
MAX_DEPTH: Final = 8
"""How deep dispatchers may call each other."""

MAX_ATTEMPT: Final = 1_000_000
"""The highest number of an attempt, and the most attempts of a run."""

MAX_TOKENS: Final = 10**12
MAX_DOLLARS: Final = 10.0**9
MAX_SECONDS: Final = 10.0**9
MAX_MINUTES: Final = 10.0**7
"""The most, of each kind, that anybody is believed to have used in one attempt, or may give to a run."""

MAX_INTEGER: Final = 2**63
"""What whole numbers of whatever meaning stay below: those of a store, and of most programs that read JSON."""


NO_NUMBER: Final = "must be a number"


def no_truth(value: object) -> object:
    """Returns a value that is to become a number. Raises ValueError for a truth value, which Python takes for one."""
    if isinstance(value, bool):
        raise ValueError(NO_NUMBER)  # noqa: TRY004  # pydantic reports only this one
    return value


Count = Annotated[int, BeforeValidator(no_truth)]
Number = Annotated[float, BeforeValidator(no_truth), Field(allow_inf_nan=False)]
"""Any whole number, and any finite one, for fields that say their own bounds."""

Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
Dollars = Annotated[float, Field(ge=0, le=MAX_DOLLARS, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]

TokenCeiling = Annotated[Count, Field(ge=1, le=MAX_TOKENS)]
DollarCeiling = Annotated[Number, Field(gt=0, le=MAX_DOLLARS)]
MinuteCeiling = Annotated[Number, Field(gt=0, le=MAX_MINUTES)]
AttemptCeiling = Annotated[Count, Field(ge=1, le=MAX_ATTEMPT)]
TaskCeiling = Annotated[Count, Field(ge=1, le=MAX_TASKS)]
FanOutCeiling = Annotated[Count, Field(ge=1, le=MAX_PARALLEL)]
DepthCeiling = Annotated[Count, Field(ge=0, le=MAX_DEPTH)]


class Bound(NamedTuple):
    """The range of a figure."""

    least: float
    most: float
    whole: bool

    def holds(self, value: json_types.Json) -> bool:
        """Returns whether a value is a number within it; NaN, infinities and truth values are not."""
        return (
            json_types.is_number(value) and self.least <= value <= self.most and (not self.whole or value == int(value))
        )

    def __str__(self) -> str:
        least = f"{self.least:g}" if self.least < 1 else f"{self.least:,.0f}"
        return f"{'a whole number' if self.whole else 'a number'} from {least} to {self.most:,.0f}"


CEILINGS: Final[Mapping[str, Bound]] = {
    "dollars": Bound(1e-6, MAX_DOLLARS, whole=False),
    "tokens": Bound(1, MAX_TOKENS, whole=True),
    "minutes": Bound(1e-6, MAX_MINUTES, whole=False),
    "attempts": Bound(1, MAX_ATTEMPT, whole=True),
    "tasks": Bound(1, MAX_TASKS, whole=True),
    "fan_out": Bound(1, MAX_PARALLEL, whole=True),
    "depth": Bound(0, MAX_DEPTH, whole=True),
}
"""What the ceilings of runs and tasks can be, by name."""

USAGE: Final[Mapping[str, float]] = {
    "input_tokens": MAX_TOKENS,
    "output_tokens": MAX_TOKENS,
    "cache_read_tokens": MAX_TOKENS,
    "cache_write_tokens": MAX_TOKENS,
    "cost_usd": MAX_DOLLARS,
    "seconds": MAX_SECONDS,
}
"""The most of each figure of a usage, by name."""


_PLAIN: Final[Mapping[str, str]] = {"bool": "true or false", "str": "a text", "Path": "a path"}
_MANY: Final[Mapping[str, str]] = {"str": "texts", "Path": "paths"}


def form(field: FieldInfo) -> str:
    """Returns what a field can hold: `a whole number from 1 to 64`, `one of end, each, none`, `a list of texts`."""
    kind = _kind(field.annotation)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        return f"a list of {_items(_kind(get_args(kind)[0]))}"
    if kind in (int, float):
        ends = span(field)
        number = "a whole number" if kind is int else "a number"
        between = "" if not ends else f" {ends}" if ends.startswith("above ") else f" from {ends}"
        return number + between
    return _PLAIN.get(_name(kind), "another value")


def span(field: FieldInfo) -> str:
    """Returns the least and the most that a number can be, such as `1 to 64`; empty for what is no number."""
    limits: dict[str, json_types.Json] = {}
    for part in _constraints(field):
        limits |= {key: getattr(part, key) for key in ("ge", "gt", "le", "lt") if getattr(part, key, None) is not None}
    least, most = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if least is None or most is None:
        return ""
    return f"{'above ' if 'gt' in limits else ''}{least:,g} to {most:,g}"


def _items(kind: object) -> str:
    """Returns what a list holds, in the plural."""
    if get_origin(kind) is tuple:
        return f"lists of {_items(_kind(get_args(kind)[0]))}"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return _MANY.get(_name(kind), "values")


def _name(kind: object) -> str:
    return str(getattr(kind, "__name__", ""))


def _kind(annotation: Any) -> Any:  # noqa: ANN401  # types as values have no better type
    """Returns a type without what is said about it beside, and without the None that may stand in its place."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, python_types.UnionType):
            annotation = next(part for part in get_args(annotation) if part is not type(None))
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def _constraints(field: FieldInfo) -> Iterator[json_types.Json]:
    """Yields what limits a field, also where nothing may stand in its place."""
    parts: list[json_types.Json] = [*field.metadata, *get_args(field.annotation)]
    while parts:
        part: json_types.Json = parts.pop()
        yield part
        parts += [*getattr(part, "__metadata__", ()), *getattr(part, "metadata", ())]
