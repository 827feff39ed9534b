"""Drafts a plan from a request in free words: a guess at the pattern, specialists by the router, a skeleton to fill in.

The caller reads the request better than this does, so every answer says what it assumed, and where no pattern is
likely it offers all six instead. A draft is a value of its own and no stored plan: nothing can dispatch it by mistake.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.planning.drafts import classifier, extract, patterns, skeletons
from dispatch_mcp.planning.drafts.skeletons import Part, TaskDraft
from dispatch_mcp.routing import model_choice, router

MAX_AREAS: Final = 4
NEEDS_HUMAN: Final = 0.40
"""Confidence in a pattern below which all are offered and a person decides (docs/rules.md#confidence-bands)."""

SURE: Final = 0.5
"""Confidence from which on a part gets the specialist that the router names for it."""

MAX_NAME: Final = 40

_TROUBLE: Final = ("timeout settings", "query performance", "frontend bundle size", "infrastructure capacity")
_LARGE: Final = ("database schema", "API endpoints", "frontend components", "security requirements")
_PROOF: Final = "write integration tests"
_REVIEW: Final = "code review of a change"
_BASE: Final = "database schema and infrastructure"
"""Questions that find specialists a request does not name (docs/rules.md#standing-questions)."""

_EVERYWHERE: Final = frozenset({"across", "every", "everywhere", "all", "whole", "entire", "toàn"})
"""Words of a rollout over what is there; without them a large feature is new, and is researched first."""


_LOOPS: Final = ("single", "sequential-handoff")
"""Patterns that become a feedback loop when the request is to be reviewed until something holds."""


class Draft(model.Value):
    """A proposal for a plan, or, without `tasks`, an offer of all `patterns`, the likeliest first.

    `assumed` says what the request did not; `specialists` are the agents by the confidence of their routes, 0 to 1.
    `next` says in one sentence what the host does now; `question` what to ask the user when nobody could tell.
    """

    pattern: str
    pattern_confidence: float
    why: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    tasks: tuple[TaskDraft, ...] = ()
    patterns: tuple[dict[str, model.Json], ...] = ()
    specialists: dict[str, float] = Field(default_factory=dict)
    files: tuple[str, ...] = ()
    needs_human: bool = False
    question: str = ""
    next: str = ""


def draft(
    request: str,
    agents: catalog.Catalog,
    *,
    history: router.History = router.NO_HISTORY,
    hints: router.Hints = router.NO_HINTS,
) -> Draft:
    """Returns a draft for the request, or, if no pattern is likely, an offer of all; every text gives an answer."""
    routes = functools.partial(router.route, catalog=agents, history=history, hints=hints)
    context = _DraftContext(request, routes, {*extract.WORD.findall(extract.plain(request))}, {}, [])
    choice = classifier.choose(request)
    unsure = choice.confidence < NEEDS_HUMAN
    loops = choice.pattern in _LOOPS and context.words >= {"review", "until"}
    builder = _feedback_loop if loops else _BUILDERS[choice.pattern]
    tasks = () if unsure else tuple(builder(context))
    specialists = {task.agent: context.confidence(task.agent) for task in tasks if task.agent}
    second, share = choice.ranked[1]
    guess = f"{choice.pattern}, guessed from words; next likely: {second} ({share:.2f})"
    return Draft(
        pattern=choice.pattern,
        pattern_confidence=choice.confidence,
        why=choice.why,
        assumed=tuple(dict.fromkeys([guess, *context.assumed])) if tasks else (),
        tasks=tasks,
        patterns=() if tasks else _offers(choice),
        specialists=specialists,
        files=extract.paths(request),
        needs_human=unsure,
        question=context.route(request).question if tasks and not specialists else "",
        next=_next(tasks),
    )


def answer(proposal: Draft) -> dict[str, model.Json]:
    """Returns the draft in the short form that a model reads; the request is not in it."""
    tasks = {"fill": ["do", "files"], "tasks": [skeletons.wire(task) for task in proposal.tasks]}
    rest = proposal.model_dump(mode="json", exclude_defaults=True, exclude={"tasks"})
    return {"ok": True, "draft": True, **rest, **(tasks if proposal.tasks else {})}


def plan_of(proposal: Draft) -> model.Plan:
    """Returns the draft as a draft plan, for pictures and to-do lists; dispatch refuses it."""
    tasks = tuple(skeletons.as_task(task) for task in proposal.tasks)
    return model.Plan(id="draft", tasks=tasks, pattern=proposal.pattern, draft=True)


def _offers(choice: classifier.PatternGuess) -> tuple[dict[str, model.Json], ...]:
    by_name = {pattern.name: pattern for pattern in patterns.PATTERNS}
    return tuple(
        {"pattern": name, "share": share, "when": by_name[name].when, "needs": by_name[name].needs}
        for name, share in choice.ranked
    )


def _next(tasks: Sequence[TaskDraft]) -> str:
    if not tasks:
        return "Unclear: choose a pattern, or ask the user, then send tasks with what it needs."
    if len(tasks) == 1:
        return "A single agent is better: call it directly; a plan adds nothing here."
    return "Make `fill` exact in each task, adjust, and send all of them as tasks."


@dataclass(frozen=True, slots=True)
class _DraftContext:
    """A request, who routes for its roster, its words, the routes so far, and what had to be assumed."""

    request: str
    router: Callable[[str], router.Route]
    words: set[str]
    routes: dict[str, router.Route]
    assumed: list[str]

    def route(self, text: str) -> router.Route:
        if text not in self.routes:
            self.routes[text] = self.router(text)
        return self.routes[text]

    def agent(self, text: str) -> str:
        """Returns who does what the text says, empty when the router is not sure."""
        route = self.route(text)
        return route.specialist if route.specialist and route.confidence >= SURE else ""

    def confidence(self, agent: str) -> float:
        """Returns the best confidence of a route that names the agent."""
        routes = self.routes.values()
        return round(max((route.confidence for route in routes if route.specialist == agent), default=0.0), 2)

    def part(self, text: str, name: str = "") -> Part:
        return Part(
            textwrap.shorten(name or text, MAX_NAME, placeholder="…"),
            self.agent(text) or self.agent(f"{text}: {self.request[:200]}"),
        )

    def things(self) -> list[Part]:
        """Returns a part for each thing that the request lists."""
        names = extract.things(self.request)[: skeletons.MAX_PARTS]
        if names:
            self.assumed.append("one part for each thing listed")
        return [self.part(name) for name in names]

    def own(self) -> list[Part]:
        """Returns the specialist of the whole request, when there is one."""
        agent = self.agent(self.request)
        return [Part(_title(agent), agent)] if agent else []

    def standing(self, questions: Sequence[str], besides: Sequence[Part] = ()) -> list[Part]:
        """Returns a part for each specialist whom standing questions find and who is not there yet."""
        experts: dict[str, Part] = {}
        for question in questions:
            agent = self.agent(question)
            if agent and all(agent != part.agent for part in besides):
                experts.setdefault(agent, Part(question, agent))
        if experts:
            self.assumed.append("whom to add: standing questions, not the request")
        return list(experts.values())

    def others(self, agent: str) -> list[Part]:
        """Returns the next specialists whom the request touches."""
        names = [candidate.name for candidate in self.route(self.request).ranked if candidate.name != agent]
        return [Part(_title(name), name) for name in names[: MAX_AREAS - 1]]

    def placeholder(self, name: str) -> Part:
        self.assumed.append(f"`{name}` stands for what the request does not name")
        return Part(name)


def _work(context: _DraftContext) -> Part:
    return Part("work", context.agent(context.request), extract.paths(context.request))


def _single(context: _DraftContext) -> list[TaskDraft]:
    size = model_choice.effort(context.request[:2000], 1)
    changes = {"model": context.route(context.request).model or None, "effort": size}
    return [task.model_copy(update=changes) for task in skeletons.single(_work(context))]


def _feedback_loop(context: _DraftContext) -> list[TaskDraft]:
    context.assumed.append("up to three rounds of review, then a person approves")
    return skeletons.feedback_loop(_work(context), context.part(_REVIEW, "review"))


def _parallel_investigation(context: _DraftContext) -> list[TaskDraft]:
    things = context.things()
    own = [] if things else context.own()
    looks = things or [*own, *context.standing(_TROUBLE, own)][:MAX_AREAS]
    return skeletons.parallel_investigation(looks or [context.placeholder("first-suspect")])


def _sequential_handoff(context: _DraftContext) -> list[TaskDraft]:
    steps = extract.steps(context.request)
    if len(steps) < 2:
        return skeletons.sequential_handoff([context.part(context.request, "first part"), context.placeholder("rest")])
    context.assumed.append("steps in the order of the request")
    looks = model_choice.kind(steps[0]) == "investigation"
    return skeletons.sequential_handoff(
        [context.part(step) for step in steps[: skeletons.MAX_PARTS]], looks_first=looks
    )


def _consultation(context: _DraftContext) -> list[TaskDraft]:
    builds = context.part(context.request, "build")
    knows = next(iter(context.others(builds.agent)), None)
    if knows:
        context.assumed.append("who is asked: the router's second; swap if it is the other way round")
    return skeletons.consultation(knows or context.placeholder("ask"), builds)


def _parallel_implementation(context: _DraftContext) -> list[TaskDraft]:
    places = context.things()
    acts = extract.steps(context.request)
    if not places and len(acts) > 1:
        context.assumed.append("different works that share nothing")
        return skeletons.side_by_side([context.part(act) for act in acts[: skeletons.MAX_PARTS]])
    places = places or [*context.own(), context.placeholder("other-places")]
    return skeletons.parallel_implementation(places, context.agent(_REVIEW))


def _phased_rollout(context: _DraftContext) -> list[TaskDraft]:
    things, own = context.things()[:MAX_AREAS], context.own()
    if things or context.words & _EVERYWHERE:
        base = (own or [context.part(_BASE)])[0]
        areas = things or context.others(base.agent)
        return skeletons.phased_rollout(base, areas or [context.placeholder("first-area")])
    context.assumed.append("new, so researched and planned before it is built")
    research = [*own, *context.standing(_LARGE, own)][:MAX_AREAS] or [context.placeholder("domain")]
    areas = context.standing(_LARGE[1:3]) or [context.placeholder("first-area")]
    rollout = skeletons.phased_rollout(context.part(_BASE), areas, context.agent(_PROOF))
    return skeletons.three_phases(research, rollout)


def _title(agent: str) -> str:
    return agent.rsplit("/", 1)[-1].removesuffix("-agent")


_BUILDERS: Final = {
    "single": _single,
    "parallel-investigation": _parallel_investigation,
    "sequential-handoff": _sequential_handoff,
    "consultation": _consultation,
    "parallel-implementation": _parallel_implementation,
    "phased-rollout": _phased_rollout,
}
