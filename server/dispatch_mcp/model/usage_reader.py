"""What an attempt used, as hosts and providers write it, read into one form.

Read are the Messages API (`input_tokens`, `cache_read_input_tokens`, `cache_creation` …), OpenAI's
(`prompt_tokens`, `prompt_tokens_details.cached_tokens` …), Claude Code (`totalTokens`, `total_cost_usd`, a map
`modelUsage` of models, the text of a task notification) and what is close to them, under_scored or camelCased, null
for nothing, also inside `usage` or `tokens`. Fields that are not known are ignored; a known field with an impossible
value is a problem. Dollars far below what the tokens cost at least are no figure of anybody's: the list price counts.

Two conventions differ and are told apart by the name of the field: tokens from a cache stand beside `input_tokens` in
the Messages API and are part of the input in OpenAI's. A total says nothing of how it divides: what of it no other
field explains is booked as input, and such usage gets no price, because none would be right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import ValidationError

from dispatch_mcp import model
from dispatch_mcp.model import bounds
from dispatch_mcp.text import json_types
from dispatch_mcp.text.reading import excerpts

MAX_PARTS: Final = 500
"""Models, or requests, that one usage may list."""

LEAST_SHARE: Final = 0.2
"""The share of the list price below which dollars are not believed: half for batches, half again as that price is one
of a single long request."""

CHEAPEST: Final = "haiku"
"""The model that tokens of no named model have been used on at least."""

_A_CENT: Final = 0.01


_INPUT: Final = ("input_tokens", "prompt_tokens", "prompt_token_count", "input", "prompt")
_OUTPUT: Final = ("output_tokens", "completion_tokens", "candidates_token_count", "output", "completion")
_CACHE_BESIDE: Final = ("cache_read_input_tokens", "cache_read_tokens", "cache_read")
_CACHE_WITHIN: Final = ("cached_tokens", "cached_input_tokens", "cached_content_token_count")
_WRITTEN: Final = (
    *("cache_creation_input_tokens", "cache_write_input_tokens", "cache_creation_tokens", "cache_write_tokens"),
    *("cache_creation", "cache_write"),
)
_TOTAL: Final = ("total_tokens", "subagent_tokens", "total_token_count", "tokens", "total")
_DOLLARS: Final = ("cost_usd", "total_cost_usd", "cost", "total_cost", "usd", "dollars")
_MILLISECONDS: Final = ("duration_ms", "total_duration_ms", "elapsed_ms")
_SECONDS: Final = ("seconds", "duration_s", "duration_seconds", "elapsed_s")
_TIMES: Final = (*_MILLISECONDS, *_SECONDS)

_INSIDE: Final = (
    *("usage", "tokens", "token_usage", "usage_metadata", "message"),
    *("prompt_tokens_details", "input_tokens_details"),
)
"""Objects whose fields are those of the usage that holds them."""

_MODELS: Final = ("model_usage", "models", "per_model", "by_model")
_OF_USAGE: Final = frozenset(
    {*_INPUT, *_OUTPUT, *_CACHE_BESIDE, *_CACHE_WITHIN, *_WRITTEN, *_TOTAL, *_DOLLARS, *_TIMES, *_INSIDE, *_MODELS}
)
_TAGGED: Final = re.compile(r"<([A-Za-z_]{1,40})>([^<>]{0,80})</[A-Za-z_]{1,40}>")
_DEPTH: Final = 4
_OPEN, _CLOSE = "<usage>", "</usage>"

_OF_ENTRY: Final = frozenset(
    {"input_tokens", "output_tokens", "total_tokens", "model_usage", "cost_usd", "total_cost_usd", *_MILLISECONDS}
)
"""Figures that hosts put beside the answer itself instead of into `usage`."""

_Field = tuple[str, model.Json]
"""Where a value stands, and the value."""

_Fields = Mapping[str, _Field]

Price = Callable[[str | None, model.Usage], float | None]
"""Returns the dollars of a usage on a model, None when nobody knows."""


class ModelUsage(NamedTuple):
    """What one model used; `model` is empty where nobody names it. Without a split only the sum of tokens is known."""

    usage: model.Usage
    model: str = ""
    is_split: bool = True


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """What somebody says that an attempt used: for each model, and the dollars and seconds of the whole."""

    parts: tuple[ModelUsage, ...] = ()
    cost_usd: float | None = None
    seconds: float = 0.0

    def priced(self, name: str | None, price: Price) -> model.Usage:
        """Returns the sum; dollars that nobody says are those of `price`, for tokens of no named model on `name`.

        So are dollars that are too few for their tokens. The dollars are unknown when those of any part are, and when
        nothing was used for none.
        """
        if self.cost_usd is not None and self.cost_usd >= LEAST_SHARE * self._least(name, price):
            return self._sum(self.cost_usd if self.cost_usd or self.parts else None)
        prices = [_dollars(part, name, price) for part in self.parts]
        amounts = [dollars for dollars in prices if dollars is not None]
        return self._sum(min(sum(amounts), bounds.MAX_DOLLARS) if amounts and len(amounts) == len(prices) else None)

    def objection(self, name: str | None, price: Price) -> str:
        """Returns what is said of dollars that are too few for their tokens, and what counts; empty for any other."""
        figures = [part.usage.cost_usd for part in self.parts] if self.cost_usd is None else [self.cost_usd]
        dollars, usage = sum(filter(None, figures)), self.priced(name, price)
        if all(figure is None for figure in figures) or usage.cost_usd == dollars:
            return ""
        if usage.cost_usd is None:
            least = LEAST_SHARE * self._least(name, price)
            is_much = least >= _A_CENT and dollars < least
            words = "which no model costs, so they count as having no price"
            return f"it says ${dollars:,.2f} for {usage.tokens:,} tokens, {words}" if is_much else ""
        words = f"it says ${dollars:,.2f}, but its tokens cost ${usage.cost_usd:,.2f} at list price, which counts"
        return words if usage.cost_usd - dollars >= _A_CENT else ""

    def _least(self, name: str | None, price: Price) -> float:
        """Returns the dollars that the tokens cost at least, as far as prices are known."""
        return sum(_least(part, name, price) for part in self.parts)

    @property
    def usage(self) -> model.Usage:
        """The sum, with those dollars that were said."""
        return self.priced(None, _no_price)

    def _sum(self, cost_usd: float | None) -> model.Usage:
        usages = [part.usage for part in self.parts]
        return model.Usage(
            input_tokens=sum(usage.input_tokens for usage in usages),
            output_tokens=sum(usage.output_tokens for usage in usages),
            cache_read_tokens=sum(usage.cache_read_tokens for usage in usages),
            cache_write_tokens=sum(usage.cache_write_tokens for usage in usages),
            cost_usd=cost_usd,
            seconds=self.seconds,
        )


NOTHING: Final = ReportedUsage()


def _no_price(_name: str | None, _usage: model.Usage) -> None:
    return None


def _dollars(part: ModelUsage, name: str | None, price: Price) -> float | None:
    dollars = part.usage.cost_usd
    if dollars is not None and dollars >= LEAST_SHARE * _least(part, name, price):
        return dollars
    return price(part.model or name, part.usage) if part.is_split else None


def _least(part: ModelUsage, name: str | None, price: Price) -> float:
    """Returns what a part costs at least in dollars: tokens that are one sum count as read from a cache.

    Nothing for a model without a price.
    """
    usage = part.usage if part.is_split else model.Usage(cache_read_tokens=part.usage.tokens)
    return price(part.model or name or CHEAPEST, usage) or 0.0


class UnreadableUsage(Exception):
    """A figure that cannot be; the message names its field and value."""


def read(raw: model.Json, place: str = "usage") -> ReportedUsage:
    """Returns the usage that a value says; `place` is what its fields are named after in errors.

    Raises:
        UnreadableUsage: a known field holds what cannot be its value, or nothing in a text could be read.
    """
    if json_types.is_left_out(raw):
        return NOTHING
    if isinstance(raw, str):
        raw = _of_text(raw, place)
    try:
        if json_types.is_list(raw):
            return _checked(_sum_of([_of_object(item, f"{place}[{at}]") for at, item in enumerate(raw)]), place)
        return _checked(_of_object(raw, place), place)
    except ValidationError:
        raise UnreadableUsage(f"{place} adds up to more than one attempt can have used.") from None


def collect(usage: model.Json, entry: Mapping[str, model.Json]) -> model.Json:
    """Returns the usage of an entry that may also hold figures of its own, such as `totalTokens` and `duration_ms`."""
    figures = {key: value for key, value in entry.items() if json_types.plain_name(key) in _OF_ENTRY}
    if json_types.is_left_out(usage):
        return figures
    return {**figures, **json_types.without_left_out(usage)} if json_types.is_object(usage) else usage


def _of_object(raw: model.Json, place: str) -> ReportedUsage:
    if not json_types.is_object(raw):
        raise UnreadableUsage(f"{place} is {json_types.quoted(raw)}, not an object.")
    fields = dict(_fields(raw, place, 0))
    return _of_models(fields) or _of_map(raw, place) or _of_fields(fields)


def _checked(usage: ReportedUsage, place: str) -> ReportedUsage:
    """Returns the usage. Raises UnreadableUsage or ValidationError if it is more than an attempt can have used."""
    if len(usage.parts) > MAX_PARTS:
        raise UnreadableUsage(f"{place} has {len(usage.parts)} parts; at most {MAX_PARTS} are read.")
    dollars = usage.cost_usd if usage.cost_usd is not None else sum(part.usage.cost_usd or 0.0 for part in usage.parts)
    model.Usage.model_validate({**dict(usage.usage), "cost_usd": dollars})
    return usage


def _sum_of(usages: list[ReportedUsage]) -> ReportedUsage:
    """Returns one usage for several; dollars of the whole of one are those of its first part."""
    parts: list[ModelUsage] = []
    for usage in usages:
        own = usage.usage
        parts += usage.parts if usage.cost_usd is None else [ModelUsage(own.model_copy(update={"seconds": 0.0}))]
    return ReportedUsage(tuple(parts), seconds=sum(usage.seconds for usage in usages))


def _fields(raw: Mapping[str, model.Json], place: str, depth: int) -> Iterator[tuple[str, _Field]]:
    """Yields the fields that say something by their names, each with its place, the outermost of a name last."""
    own: list[tuple[str, _Field]] = []
    for key, value in json_types.without_left_out(raw).items():
        name, where = json_types.plain_name(key), f"{place}.{key[:60]}"
        inner = value if name in _INSIDE else _named("cache_", value) if name == "cache" else None
        if json_types.is_object(value) and inner is not None and depth < _DEPTH:
            yield from _fields(inner, where, depth + 1)
        else:
            own.append((name, (where, value)))
    yield from own


def _named(prefix: str, values: model.Json) -> model.Json:
    return {f"{prefix}{key}": value for key, value in values.items()} if json_types.is_object(values) else values


def _of_models(fields: _Fields) -> ReportedUsage | None:
    """Returns what a map of models says, with the dollars and seconds that stand beside it."""
    where, by_model = next((fields[name] for name in _MODELS if name in fields), ("", None))
    whole = _of_map(by_model, where) if json_types.is_object(by_model) else None
    if whole is None:
        return None
    beside = _of_fields({name: field for name, field in fields.items() if name in (*_DOLLARS, *_TIMES)})
    return ReportedUsage(whole.parts, beside.cost_usd, beside.seconds)


def _of_map(raw: Mapping[str, model.Json], place: str) -> ReportedUsage | None:
    """Returns the usage of `{model: usage, …}`, or None for any other object."""
    parts: list[ModelUsage] = []
    for key, value in json_types.without_left_out(raw).items():
        fields = dict(_fields(value, f"{place}.{key[:60]}", 0)) if json_types.is_object(value) else {}
        if json_types.plain_name(key) in _OF_USAGE or not fields.keys() & _OF_USAGE:
            return None
        usage = _of_fields(fields)
        parts += [part._replace(model=key, usage=_with_dollars(part.usage, usage.cost_usd)) for part in usage.parts]
    return ReportedUsage(tuple(parts)) if parts else None


def _with_dollars(usage: model.Usage, dollars: float | None) -> model.Usage:
    return usage.model_copy(update={"cost_usd": dollars})


def _of_fields(fields: _Fields) -> ReportedUsage:
    whole_input, output = _count(fields, _INPUT), _count(fields, _OUTPUT)
    within = min(_count(fields, _CACHE_WITHIN), whole_input)
    usage = model.Usage(
        input_tokens=whole_input - within,
        output_tokens=output,
        cache_read_tokens=within + _count(fields, _CACHE_BESIDE),
        cache_write_tokens=_count(fields, _WRITTEN),
    )
    surplus = max(0, _count(fields, _TOTAL) - usage.tokens)
    usage = usage.model_copy(update={"input_tokens": usage.input_tokens + surplus})
    _, name = fields.get("model", ("", ""))
    part = ModelUsage(usage, name if isinstance(name, str) else "", is_split=not surplus)
    parts = (part,) if usage.tokens else ()
    return ReportedUsage(parts, _figure(fields, _DOLLARS, bounds.MAX_DOLLARS), _duration(fields))


def _duration(fields: _Fields) -> float:
    """Returns the seconds that a usage says it took, 0 if it says nothing."""
    milliseconds = _figure(fields, _MILLISECONDS, bounds.MAX_SECONDS * 1000)
    if milliseconds is not None:
        return milliseconds / 1000
    return _figure(fields, _SECONDS, bounds.MAX_SECONDS) or 0.0


def _count(fields: _Fields, names: tuple[str, ...]) -> int:
    """Returns the whole number of the first of these fields that is there, or 0; of an object, the sum of it."""
    where, value = next((fields[name] for name in names if name in fields), ("", 0))
    values = list(value.values()) if json_types.is_object(value) else [value]
    return sum(int(_number(where, item, bounds.MAX_TOKENS, whole=True)) for item in values if item is not None)


def _figure(fields: _Fields, names: tuple[str, ...], most: float) -> float | None:
    where, value = next((fields[name] for name in names if name in fields), ("", None))
    return None if value is None else float(_number(where, value, most))


def _number(where: str, value: model.Json, most: float, *, whole: bool = False) -> float:
    """Returns a figure. Raises UnreadableUsage for NaN, and what is below nothing or beyond `most`."""
    number = _of_digits(value) if isinstance(value, str) else value
    if json_types.is_number(number) and 0 <= number <= most and (not whole or number == int(number)):
        return number
    kind = "a whole number" if whole else "a number"
    raise UnreadableUsage(f"{where} is {json_types.quoted(value)}; {kind} from 0 to {most:,.0f} is possible.")


def _of_digits(text: str) -> float | None:
    """Returns the number that a text is, thousands with commas and a dollar sign allowed."""
    digits = text.strip().lstrip("$").replace(",", "").replace("_", "")
    try:
        return int(digits) if digits.lstrip("-").isdecimal() and len(digits) <= 40 else float(digits)
    except ValueError:
        return None


def _of_text(text: str, place: str) -> model.Json:
    """Returns the value that a text says: JSON, tags, or a line for each field.

    Raises:
        UnreadableUsage: no field that is known is in it.
    """
    body = excerpts.USAGE.of(text)
    body = body[body.rfind(_OPEN) + len(_OPEN) if _OPEN in body else 0 :].partition(_CLOSE)[0].strip()
    try:
        value: model.Json = json.loads(body)
    except (ValueError, RecursionError):
        value = {**dict(_lines(_TAGGED.sub("", body))), **dict(_TAGGED.findall(body))}
    if isinstance(value, str) or (
        json_types.is_object(value) and not any(json_types.plain_name(key) in _OF_USAGE for key in value)
    ):
        raise UnreadableUsage(f"{place} is {json_types.quoted(text)}, in which no figure could be read.")
    return value


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yields the names and values of `name: value` or `name=value`, a line each or several behind commas."""
    for line in text.replace(", ", "\n").replace(";", "\n").splitlines():
        name, sign, value = line.partition(":") if ":" in line else line.partition("=")
        if sign and value.strip():
            yield name.strip(" \t-*\"'`"), value.strip(" \t\"'`")
