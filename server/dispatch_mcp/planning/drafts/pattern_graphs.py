"""Builds the task graph of a pattern around the caller's own words: one task a part, word for word.

Rules: docs/rules.md#six-patterns, #three-phases, #api-first, #feedback-loop and #model-table. A pattern has tasks of
its own beside them, such as a conclusion; they say nothing of the request and are named as additions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import problems
from dispatch_mcp.model.problems import Problem
from dispatch_mcp.planning.drafts import patterns
from dispatch_mcp.text import json_types, tokenizer
from dispatch_mcp.text.reading import excerpts

THOROUGH: Final = "sonnet"
QUICK: Final = "haiku"
DEEP: Final = "opus"
"""Models of docs/rules.md#model-table: investigation and review, short consultation, complex work."""

ROUNDS: Final = 3
"""Rounds of review that a feedback loop has; each but the first costs only when the one before blocks."""

CONCLUDE, CONTRACT, COMPARE, VERIFY, PLAN, REVIEW, APPROVE = _OWN_IDS = (
    *("conclude", "contract", "compare", "verify", "plan", "review", "approve"),
)

MAX_SLUG: Final = 24
_GOAL_PLACE = re.compile(r"tasks\[(\d+)\]\.do")
_SLUG = re.compile(r"[^a-z0-9]+")

RawTask = dict[str, model.Json]
"""A task in the words of a task document."""


class PatternPlan(NamedTuple):
    """The tasks of a plan, in the words of a task document.

    `additions` are the ids that stand for no part, each with its pattern; `follows` says whose agent a task
    gets: the same as another's. The first tasks are those of the parts, in their order.
    """

    tasks: tuple[RawTask, ...]
    additions: Mapping[str, str]
    follows: Mapping[str, str]

    def place(self, where: str) -> str:
        """Returns the part that stands in a place of the tasks, such as `tasks[2].do`; other places as they are."""
        match = _GOAL_PLACE.fullmatch(where)
        if match is None or int(match[1]) >= len(self.tasks) - len(self.additions):
            return where
        return "parts" if len(self.tasks) == 1 else f"parts[{match[1]}]"


class _Part(NamedTuple):
    id: str
    words: str


class _Graph(NamedTuple):
    """Tasks of the parts, tasks of the pattern itself, and whose agent one of these gets."""

    parts: Sequence[RawTask]
    own: Sequence[RawTask] = ()
    follows: Mapping[str, str] = {}


def problems_of(pattern: str, parts: Sequence[str]) -> list[Problem]:
    """Returns everything that is wrong with a pattern's name and its parts."""
    shape = patterns.shape(pattern)
    if shape is None:
        return [_unknown(pattern)]
    blank = [_blank(at, part) for at, part in enumerate(parts) if not part.strip()]
    if len(parts) >= shape.least:
        return blank
    return [*blank, _too_few(shape, parts)]


def build(pattern: str, parts: Sequence[str]) -> PatternPlan:
    """Returns the graph of a pattern around its parts, each of which is the whole `do` of one task, unchanged.

    Only a single specialist gets all parts in one task, a line each.

    Raises:
        ValueError: there are problems (`problems_of`).
    """
    shape = patterns.shape(pattern)
    if shape is None or problems_of(pattern, parts):
        raise ValueError(f"{pattern!r} cannot be built of {len(parts)} parts")
    graph = _BUILDERS[shape.name](_named(parts))
    return PatternPlan((*graph.parts, *graph.own), {task["id"]: shape.name for task in graph.own}, graph.follows)


def _unknown(pattern: str) -> Problem:
    names = [shape.name for shape in patterns.SHAPES]
    nearest = problems.nearest(pattern, names)
    fix = f"Use `{nearest}`." if nearest else f"Use one of {problems.in_backticks(names, len(names))}."
    message = f"There is no pattern {json_types.quoted(pattern)}."
    return Problem(code="unknown_pattern", where="pattern", message=message, did_you_mean=nearest, fix=fix)


def _blank(at: int, part: str) -> Problem:
    where = f"parts[{at}]"
    message = f"{where} is {json_types.quoted(part)}: it does not say what to do."
    return Problem(code="empty_part", where=where, message=message, fix="Say it in the words of the request.")


def _too_few(shape: patterns.Shape, parts: Sequence[str]) -> Problem:
    message = f"`{shape.name}` takes {shape.least} parts or more (got {len(parts)})."
    return Problem(code="too_few_parts", where="parts", message=message, fix=f"Send {shape.parts}.")


def _named(parts: Sequence[str]) -> list[_Part]:
    """Returns the parts with an id each: their first words, or their number."""
    result: list[_Part] = []
    ids = {*_OWN_IDS}
    for number, words in enumerate(parts, 1):
        slug = _SLUG.sub("-", tokenizer.fold(excerpts.GOAL.of(words).casefold())).strip("-")
        name = slug if len(slug) <= MAX_SLUG else slug[: max(slug.rfind("-", 0, MAX_SLUG + 1), 8)].strip("-")
        name = name or f"part-{number}"
        name = name if name not in ids else f"{name}-{number}"
        while name in ids:
            name += "-"
        ids.add(name)
        result.append(_Part(name, words))
    return result


def _task(part: _Part, deps: Sequence[str] = (), *, model_name: str = "", effort: str = "") -> RawTask:
    return _own(part.id, part.words, deps, model_name=model_name, effort=effort)


def _own(task_id: str, do: str, deps: Sequence[str] = (), *, model_name: str = "", effort: str = "") -> RawTask:
    fields = {"deps": list(deps), "model": model_name, "effort": effort}
    return {"id": task_id, "do": do, **{name: value for name, value in fields.items() if value}}


def _ids(parts: Sequence[_Part]) -> list[str]:
    return [part.id for part in parts]


def _single(parts: Sequence[_Part]) -> _Graph:
    return _Graph([_own("work", "\n".join(part.words for part in parts))])


def _parallel_investigation(parts: Sequence[_Part]) -> _Graph:
    looks = [_task(part, model_name=THOROUGH) for part in parts]
    end = _own(CONCLUDE, "Conclude: cause, evidence, next step.", _ids(parts), model_name=THOROUGH)
    return _Graph(looks, [end])


def _sequential_handoff(parts: Sequence[_Part]) -> _Graph:
    return _Graph([_task(part, _ids(parts[:at][-1:])) for at, part in enumerate(parts)])


def _consultation(parts: Sequence[_Part]) -> _Graph:
    *questions, work = parts
    quick = [_task(part, model_name=QUICK, effort="S") for part in questions]
    return _Graph([*quick, _task(work, _ids(questions))])


def _parallel_implementation(parts: Sequence[_Part]) -> _Graph:
    contract = _own(CONTRACT, "Write down what all places must share.", effort="S")
    changes = [_task(part, [CONTRACT]) for part in parts]
    return _Graph(changes, [contract, _compared(parts)])


def _api_first(parts: Sequence[_Part]) -> _Graph:
    interface, *sides = parts
    rest = [_task(part, [interface.id]) for part in sides]
    return _Graph([_task(interface), *rest], [_compared(sides)])


def _compared(parts: Sequence[_Part]) -> RawTask:
    return _own(COMPARE, "Check that all results agree.", _ids(parts), model_name=THOROUGH)


def _phased_rollout(parts: Sequence[_Part]) -> _Graph:
    base, *areas = parts
    rest = [_task(part, [base.id]) for part in areas]
    proof = _own(VERIFY, "Verify the whole together.", _ids(areas or [base]), model_name=THOROUGH)
    return _Graph([_task(base), *rest], [proof], {VERIFY: base.id})


def _three_phases(parts: Sequence[_Part]) -> _Graph:
    *questions, work = parts
    looks = [_task(part, model_name=THOROUGH) for part in questions]
    do = "Plan from all findings: tasks with agent, priority, dependencies; propose them as edits."
    plan = _own(PLAN, do, _ids(questions), model_name=DEEP)
    return _Graph([*looks, _task(work, [PLAN])], [plan])


def _feedback_loop(parts: Sequence[_Part]) -> _Graph:
    review = {**_own(REVIEW, "Judge the work: PASS or findings."), "reviews": _ids(parts), "rounds": ROUNDS}
    gate = {**_own(APPROVE, "A person approves the result.", [REVIEW]), "worker": model.WorkerKind.HUMAN.value}
    return _Graph([_task(part) for part in parts], [review, gate])


_BUILDERS: Final[Mapping[str, Callable[[Sequence[_Part]], _Graph]]] = {
    "single": _single,
    "parallel-investigation": _parallel_investigation,
    "sequential-handoff": _sequential_handoff,
    "consultation": _consultation,
    "parallel-implementation": _parallel_implementation,
    "phased-rollout": _phased_rollout,
    "api-first": _api_first,
    "three-phases": _three_phases,
    "feedback-loop": _feedback_loop,
}
