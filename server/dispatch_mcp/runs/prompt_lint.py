"""What is missing from a brief before anybody works on it (docs/rules.md#brief-sections)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import work_order
from dispatch_mcp.model.problems import Notice, Problem, shown
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import prompt_builder

_MEASURE = re.compile(
    r"\d|`[^`]+`|\b(?:success|succeeds?|pass(?:es|ed)?|until|so that|returns?|responds?|answers?|matches|exists?|"
    r"works?|prints?|fails?|no longer|without|exactly|every|each|all|report|list|root cause|which|why|green)\b",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"\d|`[^`]+`|\b(?:pass(?:es)?|until|so that|no longer|root cause)\b", re.IGNORECASE)
_VAGUE = re.compile(
    r"\b(?:etc|and so on|stuff|things?|something|anything|whatever|as needed|if necessary|improvements?|various|tbd)\b",
    re.IGNORECASE,
)
_WEAK_GOAL = re.compile(
    r"\b(?:improve|enhance|optimi[sz]e|clean ?up|handle|look (?:at|into)|better|nicer)\b", re.IGNORECASE
)
_WORD = re.compile(r"\w+")
_NONCE: Final = "0" * 16
MAX_LINTED: Final = 100
"""Tasks of one plan whose briefs are looked at."""

_SAID: Final = {
    "goal_empty": "no goal",
    "goal_unmeasurable": "goal cannot be measured",
    "limits_missing": "no constraints",
    "deliverables_missing": "no output",
    "deliverable_vague": "vague output",
}
_GIVEN_BY_US: Final = frozenset(
    {prompt_builder.DEFAULT_CONSTRAINT, prompt_builder.DEFAULT_CONTEXT, prompt_builder.DEFAULT_OUTPUT}
)


def lint(sections: Sequence[prompt_builder.Section]) -> list[Problem]:
    """Returns what is missing or vague, all at once, in the order of the sections; nothing for a good brief.

    What `prompting.build` fills in when the plan says nothing counts as missing.
    """
    by_name = {section.name: section for section in sections}
    found = [_missing(name) for name in prompt_builder.SECTIONS if name not in by_name]
    if goal := by_name.get("GOAL"):
        found += _goal(goal)
    if limits := by_name.get("CONSTRAINTS"):
        found += _limits(limits)
    if context := by_name.get("CONTEXT"):
        found += _context(context)
    if output := by_name.get("OUTPUT"):
        found += _output(output)
    return found


def of_tasks(tasks: Sequence[model.Task]) -> list[Notice]:
    """Returns at most one notice: what the briefs of a plan's first tasks lack, with the tasks that lack it.

    That there is nothing to start from counts only where nothing will be gathered, so it is not said here.
    """
    lacking: dict[str, list[str]] = {}
    looked_at = [task for task in tasks if forecast.uses_model(task)][:MAX_LINTED]
    for task in looked_at:
        work = work_order.WorkOrder("", task, 1, model.WorkerKind.HOST)
        codes = {problem.code for problem in lint(prompt_builder.build(work, nonce=_NONCE).sections)}
        for code in codes & _SAID.keys():
            lacking.setdefault(code, []).append(task.id)
    parts = [f"{_SAID[code]}: {_whose(lacking[code], len(looked_at))}" for code in _SAID if code in lacking]
    return [Notice(code="brief_gaps", message="; ".join(parts))] if parts else []


def _whose(ids: Sequence[str], count: int) -> str:
    if len(ids) == count > 1:
        return "all"
    more = f" +{len(ids) - 2}" if len(ids) > 2 else ""
    return ", ".join(ids[:2]) + more


def _missing(name: str) -> Problem:
    return Problem(code="section_missing", where=name, message=f"{name} is missing.", fix=f"Add a {name} section.")


def _goal(section: prompt_builder.Section) -> Iterator[Problem]:
    goal = section.words().strip()
    if len(_WORD.findall(goal)) < 2:
        message = f"The goal {shown(goal)} does not say what is to be done."
        yield Problem(code="goal_empty", where="GOAL", message=message, fix="Say in a sentence what will be true.")
    elif not section.items(prompt_builder.DONE_WHEN) and not _measurable(goal):
        message = f"Nobody could tell when {shown(goal)} is reached."
        fix = "Name the figure, test or behaviour that shows it, or list `acceptance`."
        yield Problem(code="goal_unmeasurable", where="GOAL", message=message, fix=fix)


def _measurable(goal: str) -> bool:
    return bool((_FIGURE if _WEAK_GOAL.search(goal) else _MEASURE).search(goal))


def _limits(section: prompt_builder.Section) -> Iterator[Problem]:
    if not _own(section.items()):
        fix = "Say what must not change, be added or take longer."
        yield Problem(code="limits_missing", where="CONSTRAINTS", message="There are no hard limits.", fix=fix)


def _context(section: prompt_builder.Section) -> Iterator[Problem]:
    lists = [part for part in section.parts if isinstance(part, prompt_builder.Items)]
    if not section.data and not any(_own(part.items) for part in lists if part.label != prompt_builder.WORKSPACE):
        fix = "Name files to read (`reads`, `context`) or a task it builds on (`deps`)."
        yield Problem(code="context_missing", where="CONTEXT", message="There is nothing to start from.", fix=fix)


def _output(section: prompt_builder.Section) -> Iterator[Problem]:
    own = _own(section.items())
    if not own:
        fix = "List what will exist: paths, tests, answers."
        yield Problem(code="deliverables_missing", where="OUTPUT", message="No deliverables are named.", fix=fix)
    for item in own:
        if _VAGUE.search(item) or (len(_WORD.findall(item)) < 2 and not re.search(r"[./]", item)):
            message = f"The deliverable {shown(item)} is vague."
            yield Problem(
                code="deliverable_vague", where="OUTPUT", message=message, fix="Name the path or the content."
            )


def _own(items: Sequence[str]) -> list[str]:
    return [item for item in items if item.strip() and item not in _GIVEN_BY_US]
