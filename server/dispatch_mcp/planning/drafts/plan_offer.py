"""What is offered for a request before anybody has split it: a pattern, agents, and what is left to fill in.

The caller reads the request better than this does. So its words come back as they are, no task is made up, and where no
pattern is likely the answer says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.planning.drafts import classifier, patterns
from dispatch_mcp.routing import router

UNSURE: Final = "unsure"
"""Stands for a pattern where none is likely."""

MAX_AGENTS: Final = 5


class PlanOffer(model.Value):
    """What is known of a request that has not been split; nothing of it is stored.

    `pattern` is `unsure` where no pattern is likely, and `confidence` then the probability of the likeliest; `why` are
    words of the request. `agents` are those who might take part, likeliest first, with what each is for. `parts` says
    by pattern which parts it is built of. `question` is what to ask the user when nobody could tell who does it.
    """

    pattern: str
    confidence: float | None = None
    why: tuple[str, ...] = ()
    parts: Mapping[str, str] = Field(default_factory=dict)
    agents: Mapping[str, str] = Field(default_factory=dict)
    question: str = ""
    request: str


def offer(
    request: str,
    agents: catalog.Catalog,
    *,
    pattern: str = "",
    history: router.History = router.NO_HISTORY,
    hints: router.Hints = router.NO_HINTS,
) -> PlanOffer:
    """Returns what is offered for a request; `pattern` is the caller's own choice, if there is one already."""
    route = router.route(request, agents, history=history, hints=hints)
    guess = classifier.choose(request)
    name = pattern or (guess.pattern if guess.is_sure else UNSURE)
    return PlanOffer(
        pattern=name,
        confidence=None if pattern else round(guess.confidence, 2),
        why=guess.why if name == guess.pattern else (),
        parts={each.name: each.parts for each in patterns.SHAPES if name in (UNSURE, each.name)},
        agents={choice.agent: choice.about for choice in route.offer.choices[:MAX_AGENTS]},
        question=route.question,
        request=request,
    )
