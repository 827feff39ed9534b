"""What is missing from a brief before anybody works on it (docs/rules.md#brief-sections)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import work_order
from dispatch_mcp.model.problems import Notice, Problem
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import prompt_builder
from dispatch_mcp.text import json_types

_FIGURE_OR_CODE: Final = r"\d|`[^`]+`"
# Words by which a goal says how one can tell that it is reached; each as it stands, with no other endings.
_RESULTS: Final = (
    # a test or a command ends well
    *("success", "succeed", "succeeds", "pass", "passes", "passed", "works", "green", "fail", "fails"),
    # something answers
    *("return", "returns", "respond", "responds", "answer", "answers", "print", "prints", "matches"),
    # something is there, or is there no longer
    *("exist", "exists", "no longer", "without", "until", "so that", "exactly", "every", "each", "all"),
    # a question is answered
    *("report", "list", "root cause", "which", "why"),
)
_FIRM_RESULTS: Final = ("pass", "passes", "until", "so that", "no longer", "root cause")
"""What still measures a goal that only asks for something better: "improve all of it" names no result."""

_VAGUE_WORDS: Final = (
    *("etc", "and so on", "stuff", "thing", "things", "something", "anything", "whatever", "as needed"),
    *("if necessary", "improvement", "improvements", "various", "tbd"),
)
_WEAK_GOALS: Final = (
    *("improve", "enhance", "optimize", "optimise", "clean up", "cleanup", "handle", "look at", "look into"),
    *("better", "nicer"),
)


def _any_of(words: Iterable[str], *, or_else: str = "") -> re.Pattern[str]:
    """Returns a pattern that finds any of the words as a whole, in either case, or the pattern `or_else`."""
    alternatives = "|".join(map(re.escape, words))
    return re.compile(rf"{or_else}{'|' if or_else else ''}\b(?:{alternatives})\b", re.IGNORECASE)


_MEASURE = _any_of(_RESULTS, or_else=_FIGURE_OR_CODE)
_FIRM_MEASURE = _any_of(_FIRM_RESULTS, or_else=_FIGURE_OR_CODE)
_VAGUE = _any_of(_VAGUE_WORDS)
_WEAK_GOAL = _any_of(_WEAK_GOALS)
_WORD = re.compile(r"\w+")
_NONCE: Final = "0" * 16
MAX_LINTED: Final = 100
"""Tasks of one plan whose briefs are looked at: 0.03 ms each, and a plan of thousands is written by a program that
repeats itself."""

_GAPS: Final = {
    "goal_empty": "no goal",
    "goal_unmeasurable": "no measurable goal",
    "limits_missing": "no constraints",
    "deliverables_missing": "no output",
    "deliverable_vague": "vague output",
}
_FILLED_IN: Final = frozenset(
    {prompt_builder.DEFAULT_CONSTRAINT, prompt_builder.DEFAULT_CONTEXT, prompt_builder.DEFAULT_OUTPUT}
)


def lint(sections: Sequence[prompt_builder.Section]) -> list[Problem]:
    """Returns what is missing or vague, all at once, in the order of the sections; nothing for a good brief.

    What `prompt_builder.build` fills in when the plan says nothing counts as missing.
    """
    by_name = {section.name: section for section in sections}
    problems = [_missing(name) for name in prompt_builder.SECTIONS if name not in by_name]
    if goal := by_name.get("GOAL"):
        problems += _goal(goal)
    if limits := by_name.get("CONSTRAINTS"):
        problems += _limits(limits)
    if context := by_name.get("CONTEXT"):
        problems += _context(context)
    if output := by_name.get("OUTPUT"):
        problems += _output(output)
    return problems


def lint_tasks(tasks: Sequence[model.Task]) -> list[Notice]:
    """Returns at most one notice: what the briefs of a plan's first tasks lack, with the tasks that lack it.

    That there is nothing to start from counts only where nothing will be gathered, so it is not said here.
    """
    lacking: dict[str, list[str]] = {}
    sample = [task for task in tasks if forecast.uses_model(task)][:MAX_LINTED]
    for task in sample:
        work = work_order.WorkOrder("", task, 1, model.WorkerKind.HOST)
        codes = {problem.code for problem in lint(prompt_builder.build(work, nonce=_NONCE).sections)}
        for code in codes & _GAPS.keys():
            lacking.setdefault(code, []).append(task.id)
    gaps: dict[str, list[str]] = {}
    for code in _GAPS:
        if code in lacking:
            gaps.setdefault(_whose(lacking[code], [task.id for task in sample]), []).append(_GAPS[code])
    parts = [f"{whose}: {', '.join(phrases)}" for whose, phrases in gaps.items()]
    return [Notice(code="brief_gaps", message="; ".join(parts))] if parts else []


def _whose(ids: Sequence[str], all_ids: Sequence[str]) -> str:
    gap_ids = {*ids}
    exceptions = [task_id for task_id in all_ids if task_id not in gap_ids]
    if not exceptions and len(ids) > 1:
        return "all"
    if len(ids) > 2 >= len(exceptions):
        return f"all but {', '.join(exceptions)}"
    more = f" +{len(ids) - 2}" if len(ids) > 2 else ""
    return ", ".join(ids[:2]) + more


def _missing(name: str) -> Problem:
    return Problem(code="section_missing", where=name, message=f"{name} is missing.", fix=f"Add a {name} section.")


def _goal(section: prompt_builder.Section) -> Iterator[Problem]:
    goal = section.words().strip()
    if len(_WORD.findall(goal)) < 2:
        message = f"The goal {json_types.quoted(goal)} does not say what is to be done."
        yield Problem(code="goal_empty", where="GOAL", message=message, fix="Say in a sentence what will be true.")
    elif not section.items(prompt_builder.DONE_WHEN) and not _measurable(goal):
        message = f"Nobody could tell when {json_types.quoted(goal)} is reached."
        fix = "Name the figure, test or behaviour that shows it, or list `acceptance`."
        yield Problem(code="goal_unmeasurable", where="GOAL", message=message, fix=fix)


def _measurable(goal: str) -> bool:
    return bool((_FIRM_MEASURE if _WEAK_GOAL.search(goal) else _MEASURE).search(goal))


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
            message = f"The deliverable {json_types.quoted(item)} is vague."
            yield Problem(
                code="deliverable_vague", where="OUTPUT", message=message, fix="Name the path or the content."
            )


def _own(items: Sequence[str]) -> list[str]:
    return [item for item in items if item.strip() and item not in _FILLED_IN]
