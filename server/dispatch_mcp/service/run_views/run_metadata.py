"""Looks at a run without content: who reads only these is told nothing by prompts, answers, messages or files (S11).

Content may say anything, also to a program that reads it. So it stands only in the views that are asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.next_steps import LikeFailures, NextStep
from dispatch_mcp.service import answers
from dispatch_mcp.service.run_views import view_names
from dispatch_mcp.text import json_types

_CONTENT: Final = frozenset({"reason", "error", "edits", "why"})
"""What events quote: people, workers, and what they have read."""

_IN_FIGURES: Final = frozenset({"council_decided", "result_stale"})
"""Events that say why in words of ours, with numbers and names."""

_OF_COUNCILS: Final = ("outcome", "blocks", "why", "rules", "round", "coverage", "mend_plan", "calibration")
"""What is told of a council as it is; why is a sentence of counts and names, coverage is of numbers and of paths."""


def shown(trace: answers.Trace, view: view_names.View) -> answers.Trace:
    """Returns a look as programs are given it: without content, unless its view is one of content."""
    return without_content(trace) if view in view_names.METADATA else trace


def without_content(trace: answers.Trace) -> answers.Trace:
    """Returns a look with what happened, to what and when, and nothing of what was written or read but its title."""
    step = trace.next if isinstance(trace.next, NextStep) else None
    left_out: dict[view_names.View, bool] = {
        "messages": bool(trace.pass_on or trace.unread),
        "results": bool(step and step.alike),
        "todo": bool(trace.follow_ups),
    }
    views = tuple(view for view, is_left_out in left_out.items() if is_left_out)
    return trace.model_copy(
        update={
            "pass_on": tuple(line.model_copy(update={"text": ""}) for line in trace.pass_on),
            "unread": tuple(line.model_copy(update={"text": ""}) for line in trace.unread),
            "follow_ups": _points(trace.follow_ups),
            "timeline": tuple(map(_event, trace.timeline)),
            "next": replace(step, alike=tuple(map(_kind_alone, step.alike)), whole_in=views) if step else trace.next,
            "whole_in_view": views,
        }
    )


def in_short(answer: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns what a look at a round says of its council: verdicts, and how many findings of each severity."""
    whole = answer.get("council")
    if not json_types.is_object(whole):
        return {}
    summary = {name: whole[name] for name in _OF_COUNCILS if name in whole}
    reviewers, places = _objects(whole.get("reviewers")), _objects(whole.get("findings"))
    if reviewers:
        summary["reviewers"] = {str(line["name"]): str(line.get("verdict", "")) for line in reviewers}
    if places:
        summary["findings"] = dict(Counter(str(place["severity"]) for place in places))
    return {"council": summary}


def _objects(value: model.Json) -> list[Mapping[str, model.Json]]:
    return [entry for entry in value if json_types.is_object(entry)] if json_types.is_list(value) else []


def _points(follow_ups: tuple[str, ...]) -> tuple[str, ...]:
    """Returns how many points each review has left; each line is a review's name and what it says."""
    counts = Counter(line.partition(": ")[0] for line in follow_ups)
    return tuple(f"{name}: {count}" for name, count in counts.items())


def _event(line: answers.EventLine) -> answers.EventLine:
    if line.kind in _IN_FIGURES:
        return line
    return line.model_copy(update={"data": {name: value for name, value in line.data.items() if name not in _CONTENT}})


def _kind_alone(like: LikeFailures) -> LikeFailures:
    return like._replace(cause=f"`{like.kind}`." if like.kind else "")
