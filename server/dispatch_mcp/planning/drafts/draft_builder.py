"""Drafts a plan from a request in free words: pattern, reasons, specialists, likely files, and a skeleton to fill in.

What it can know, it decides: which pattern fits, whom the request touches, which model each step needs. What it
cannot know, it marks: the goals, files and contracts are the host's to write. A draft is a value of its own and not a
stored plan, so there is nothing that could be dispatched by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.planning.drafts import classifier, cue_features, extract, skeletons
from dispatch_mcp.planning.drafts.skeletons import Part, Sketch
from dispatch_mcp.routing import model_choice, router

MAX_AREAS: Final = 4
SURE: Final = 0.5
"""Confidence from which on a part gets the specialist that the router names for it."""

MAX_NAME: Final = 40

_TROUBLE: Final = ("timeout settings", "query performance", "frontend bundle size", "infrastructure capacity")
_LARGE: Final = ("database schema", "API endpoints", "frontend components", "security requirements")
_PROOF: Final = "write integration tests"
_REVIEW: Final = "code review of a change"
_BASE: Final = "database schema and infrastructure"
"""Questions that find specialists a request does not name (docs/rules.md#standing-questions)."""

_STORES = re.compile(
    r"^(?:log|store|record|save|persist|write|ghi|lưu|guarda\w*|enregistre\w*|speicher\w*|salv\w*|grav\w*)\b"
)
_LOOP = re.compile(
    r"\breview\w*\b.{0,60}\b(?:refine|improve|rework|approv\w+|until|revise)\b|\buntil\b.{0,40}\b(?:approved|passes|clean)\b"
)
_SERVER = re.compile(r"\b(?:back[- ]?end|server|api)\b")
_CLIENT = re.compile(r"\b(?:front[- ]?end|ui|web|client|mobile|ios|android|app)\b")


class Draft(model.Value):
    """A proposal for a plan. `specialists` are the agents found with the confidence of their routes.

    `next` says in one sentence what the host does now; `question` what to ask the user when nobody could tell.
    """

    pattern: str
    pattern_confidence: float
    why: tuple[str, ...] = ()
    tasks: tuple[Sketch, ...] = ()
    specialists: dict[str, float] = Field(default_factory=dict)
    files: tuple[str, ...] = ()
    needs_human: bool = False
    question: str = ""
    next: str = ""


def draft(
    request: str,
    known: catalog.Catalog,
    *,
    history: router.History = router.NO_HISTORY,
    hints: router.Hints = router.NO_HINTS,
) -> Draft:
    """Returns a draft for the request; every text gives one, an unclear one asks for a person."""
    desk = _Desk(request, known, history, hints, {})
    chosen = classifier.choose(request, _homes(desk))
    tasks = _SKETCHERS[chosen.pattern](desk)
    whole = desk.whole
    found = {task.agent: desk.sure(task.agent) for task in tasks if task.agent}
    return Draft(
        pattern=chosen.pattern,
        pattern_confidence=chosen.confidence,
        why=chosen.why,
        tasks=tuple(tasks),
        specialists=found,
        files=extract.paths(request),
        needs_human=chosen.needs_human,
        question=whole.question if not found or chosen.needs_human else "",
        next=_next(chosen, tasks),
    )


def answer(made: Draft) -> dict[str, model.Json]:
    """Returns the draft in the short form that a model reads; the request is not in it."""
    out: dict[str, model.Json] = {
        "ok": True,
        "draft": True,
        "pattern": made.pattern,
        "pattern_confidence": made.pattern_confidence,
        "why": list(made.why),
        "fill": ["do", "files"],
        "tasks": [skeletons.wire(task) for task in made.tasks],
        "specialists": made.specialists,
        "files": list(made.files),
        "needs_human": made.needs_human,
        "question": made.question,
        "next": made.next,
    }
    return {key: value for key, value in out.items() if value not in ("", [], {}, False)}


def plan_of(made: Draft, *, max_parallel: int = 5) -> model.Plan:
    """Returns the draft as a draft plan, for pictures and to-do lists; dispatch refuses it."""
    tasks = tuple(skeletons.as_task(task) for task in made.tasks)
    return model.Plan(id="draft", tasks=tasks, pattern=made.pattern, max_parallel=max_parallel, draft=True)


def _homes(desk: _Desk) -> list[cue_features.Sign]:
    """Returns the sign of two homes: one act on one thing, but its concept and its place have different specialists."""
    if all(sign.cue != "foreign-concept" for sign in cue_features.read(desk.request)):
        return []
    knows, builds = extract.consulted(desk.request)
    first, second = desk.agent(knows) if knows else "", desk.agent(builds) if builds else ""
    return (
        [cue_features.Sign(cue_features.TWO_HOMES, 1.0, f"{first}, {second}")]
        if first and second and first != second
        else []
    )


def _next(chosen: classifier.Choice, tasks: Sequence[Sketch]) -> str:
    if chosen.needs_human:
        return "Unclear: ask the user which pattern fits, then send tasks."
    if len(tasks) == 1:
        return "A single agent is better: call it directly; a plan adds nothing here."
    return "Make `fill` exact in each task, adjust, and send all of them as tasks."


@dataclass(frozen=True, slots=True)
class _Desk:
    """A request, the roster it is for, and the routes asked so far."""

    request: str
    known: catalog.Catalog
    history: router.History
    hints: router.Hints
    routes: dict[str, router.Route]

    @property
    def whole(self) -> router.Route:
        return self.route(self.request)

    def route(self, said: str) -> router.Route:
        if said not in self.routes:
            self.routes[said] = router.route(said, self.known, history=self.history, hints=self.hints)
        return self.routes[said]

    def agent(self, said: str) -> str:
        """Returns who does what is said, empty when the router is not sure."""
        found = self.route(said)
        return found.specialist if found.specialist and found.confidence >= SURE else ""

    def sure(self, agent: str) -> float:
        """Returns the best confidence of a route that names the agent."""
        return round(max((at.confidence for at in self.routes.values() if at.specialist == agent), default=0.0), 2)

    def part(self, said: str, name: str = "") -> Part:
        return Part(_shortened(name or said), self.agent(said) or self.agent(f"{said}: {self.request[:200]}"))

    def parts(self, names: Sequence[str]) -> list[Part]:
        return [self.part(name) for name in names[: skeletons.MAX_PARTS]]

    def own(self) -> list[Part]:
        """Returns the specialist of the whole request, when there is one."""
        agent = self.agent(self.request)
        return [Part(_title(agent), agent)] if agent else []

    def asked(self, questions: Sequence[str], taken: Sequence[Part] = ()) -> list[Part]:
        """Returns a part for each specialist whom standing questions find and who is not taken yet."""
        found: dict[str, Part] = {}
        for question in questions:
            agent = self.agent(question)
            if agent and all(agent != part.agent for part in taken):
                found.setdefault(agent, Part(question, agent))
        return list(found.values())


def _single(desk: _Desk) -> list[Sketch]:
    work = Part("work", desk.agent(desk.request), extract.paths(desk.request))
    if _LOOP.search(desk.request.casefold()):
        return skeletons.feedback_loop(work, desk.part(_REVIEW, "review"))
    route = desk.whole
    size = model_choice.effort(desk.request[:2000], 1)
    return [task.model_copy(update={"model": route.model, "effort": size}) for task in skeletons.single(work)]


def _parallel_investigation(desk: _Desk) -> list[Sketch]:
    named = extract.things(desk.request)
    if len(named) > 1:
        return skeletons.parallel_investigation(desk.parts(named))
    own = desk.own()
    return skeletons.parallel_investigation([*own, *desk.asked(_TROUBLE, own)][:MAX_AREAS] or [Part("first-suspect")])


def _sequential_handoff(desk: _Desk) -> list[Sketch]:
    steps = list(extract.clauses(desk.request))
    if len(steps) < 2:
        return skeletons.sequential_handoff([desk.part(desk.request, "first part"), Part("second part")])
    looks = extract.finds_first(desk.request)
    if len(steps) == 2 and not looks and _STORES.search(steps[1]):
        steps.reverse()
    return skeletons.sequential_handoff([desk.part(step) for step in steps[: skeletons.MAX_PARTS]], looks_first=looks)


def _consultation(desk: _Desk) -> list[Sketch]:
    knows, builds = extract.consulted(desk.request)
    return skeletons.consultation(desk.part(knows) if knows else Part("ask"), desk.part(builds or desk.request))


def _parallel_implementation(desk: _Desk) -> list[Sketch]:
    acts = extract.clauses(desk.request)
    places = desk.parts(extract.things(desk.request))
    if not places and len(acts) > 1:
        return skeletons.side_by_side(desk.parts(acts))
    places = places or [*desk.own(), Part("other places")]
    said = [part.name for part in places]
    if len(said) == 2 and _sides(said):
        return skeletons.api_first(desk.part("API design"), places, desk.part(_PROOF))
    return skeletons.parallel_implementation(places, desk.agent(_REVIEW))


def _sides(names: Sequence[str]) -> bool:
    """Returns whether two names are the server's and the client's side of one interface."""
    return any(
        _SERVER.search(one) and not _CLIENT.search(one) and _CLIENT.search(other)
        for one, other in (names, tuple(reversed(names)))
    )


def _phased_rollout(desk: _Desk) -> list[Sketch]:
    signs = {sign.cue for sign in cue_features.read(desk.request)}
    named = desk.parts(extract.things(desk.request))
    own = desk.own()
    if "everywhere" in signs or not signs & {"large-thing", "capability"}:
        base = (own or [desk.part(_BASE)])[0]
        return skeletons.phased_rollout(base, (named or _others(desk, base))[:MAX_AREAS] or [Part("first-area")])
    research = [*own, *desk.asked(_LARGE, own)][:MAX_AREAS] or [Part("domain")]
    base = desk.part(_BASE)
    areas = named or desk.asked(_LARGE[1:3]) or [Part("first-area")]
    rollout = skeletons.phased_rollout(base, areas, desk.agent(_PROOF))
    return skeletons.three_phases(research, rollout)


def _others(desk: _Desk, base: Part) -> list[Part]:
    """Returns the next specialists whom the request touches, for the areas that it does not name."""
    ranked = [candidate.name for candidate in desk.whole.ranked if candidate.name != base.agent]
    return [Part(_title(name), name) for name in ranked[: MAX_AREAS - 1]]


def _title(agent: str) -> str:
    return agent.rsplit("/", 1)[-1].removesuffix("-agent")


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1].rsplit(" ", 1)[0] + "…"


_SKETCHERS: Final = {
    "single": _single,
    "parallel-investigation": _parallel_investigation,
    "sequential-handoff": _sequential_handoff,
    "consultation": _consultation,
    "parallel-implementation": _parallel_implementation,
    "phased-rollout": _phased_rollout,
}
