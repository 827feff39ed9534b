"""Which model and effort a routed task gets.

Tables: docs/rules.md#model-table (opus for complex implementation, sonnet for investigation and reviews, haiku for
quick consultation and direct execution) and docs/rules.md#review-model (sonnet for every review).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from dispatch_mcp import errors, model
from dispatch_mcp.model import model_names
from dispatch_mcp.routing import confidence

MODELS = frozenset({*model_names.TABLE, model_names.INHERIT})
"""Short names of models; full names such as `claude-opus-4-5` are known by their form."""

Kind = Literal["implementation", "investigation", "review", "consultation"]

_FULL = re.compile(r"claude-[a-z0-9][a-z0-9.-]{1,60}(?:@[0-9]{8})?(?:\[1m\])?")

# Words of requests, English first, then Vietnamese, Spanish, French, German and Portuguese. Each is a regular
# expression; tests/routing/test_model_choice.py has a request for each.
REVIEWS = (
    *("review", "audit", "look over", "critique", "check (?:this|my|the) (?:code|diff|pr)"),
    *("xem lại", "đánh giá"),
)
QUESTIONS = (
    *("explain", "what (?:is|are|does|do|would)", r"which\b", r"who\b", r"when\b", r"where\b", "why do"),
    *("how (?:do|does|should|can|is|are)", "should (?:i|we)", "tell me", "recommend", "advise"),
    *("giải thích", "thế nào", "explica", "expliqu", "erklär"),
)
INVESTIGATIONS = (
    *("investigat", "analy[sz]", "debug", "diagnos", "root cause", "find out", "profile", "trace"),
    *("why (?:is|are|does|did)", "error", "crash", "fail", "bug", "slow", "broken", "not working", "exception"),
    *("lỗi", "sập", "điều tra", "phân tích", "fehler", "erreur", "erro", "depur"),
)
LARGE = (
    *("entire", "whole", "comprehensive", "across the (?:system|codebase|project)", "end.to.end", "from scratch"),
    *("architecture", "platform", "migrate", "rewrite", "redesign", "complete", "all (?:services|modules|files)"),
    "toàn bộ",
)
SMALL = (
    *("typo", "rename", "small", "minor", "quick", "one.line", "simple", "just", "only", "comment", "label"),
    "nhỏ",
)


def _words(alternatives: tuple[str, ...], *, end: str = r"\b") -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(alternatives)}){end}", re.IGNORECASE)


_REVIEW, _LARGE, _SMALL = map(_words, (REVIEWS, LARGE, SMALL))
_CONSULT, _INVESTIGATE = (_words(beginnings, end="") for beginnings in (QUESTIONS, INVESTIGATIONS))


@lru_cache(maxsize=8)
def kind(text: str) -> Kind:
    """Returns what sort of work a request asks for, in the words of docs/rules.md#model-table."""
    if _REVIEW.search(text):
        return "review"
    if _INVESTIGATE.search(text):
        return "investigation"
    return "consultation" if _CONSULT.search(text) or text.rstrip().endswith("?") else "implementation"


def effort(text: str, parts: int) -> model.Effort:
    """Returns a rough size; `parts` is how many specialists have a real claim to the request."""
    score = 1 + bool(_LARGE.search(text)) - bool(_SMALL.search(text)) + (parts > 2) + (len(text) > 600)
    sizes = (model.Effort.S, model.Effort.M, model.Effort.L, model.Effort.XL)
    return sizes[max(0, min(3, score - (kind(text) == "consultation")))]


def check(name: str) -> str:
    """Returns the name of a model that exists.

    Raises:
        InputError: nothing of that name is known; a guess could cost money.
    """
    if name in MODELS or _FULL.fullmatch(name):
        return name
    raise errors.InputError(
        f"There is no model {name[:80]!r}.", hint=f"Use one of {', '.join(sorted(MODELS))} or a full name `claude-…`."
    )


def exists(name: str) -> bool:
    """Returns whether `check` would accept the name."""
    return name in MODELS or bool(_FULL.fullmatch(name))


def choose(text: str, size: model.Effort, strategy: confidence.Strategy) -> tuple[str, str]:
    """Returns the model of docs/rules.md#model-table and the reason in words."""
    work = kind(text)
    if work == "review":
        return "sonnet", "every review runs on sonnet"
    if work == "investigation":
        return "sonnet", "investigation balances speed and depth"
    if work == "consultation":
        return "haiku", "a short consultation needs a fast answer"
    if strategy == "direct" and size in (model.Effort.S, model.Effort.M):
        return "haiku", "a sure, small task runs directly on the small model"
    if size is model.Effort.S:
        return "sonnet", "a small implementation needs no deep reasoning"
    return "opus", "complex implementation needs deep reasoning"
