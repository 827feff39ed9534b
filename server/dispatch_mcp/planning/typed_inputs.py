"""Checks the `inputs` of tasks: a small part of JSON Schema where their agent declares a form, every fault at once.

The form comes from an agent's file, so any value may stand in it: what is no schema asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import problems
from dispatch_mcp.model.problems import Notice, Problem
from dispatch_mcp.review import review_tasks, rounds
from dispatch_mcp.text import json_types, path_globs

Form = Mapping[str, model.Json]
"""What an agent declares under `inputs`; empty for one that declares nothing."""

OURS: Final = frozenset({review_tasks.INPUT, rounds.MEND_INPUT, "script"})
"""Inputs that this product gives to any agent."""

WRITTEN: Final = ("output_path", "test_path")
READ: Final = ("context_files", "affected_files")
"""Inputs that name files, whoever takes them; a form says the same of others with `format: path`."""

MOST_DEPTH: Final = 8
"""Levels of a form that are looked at."""

_DRIVE: Final = re.compile(r"[A-Za-z]:/")
_TYPES: Final[Mapping[str, Callable[[model.Json], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "array": json_types.is_list,
    "object": json_types.is_object,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def check(tasks: Sequence[model.Task], form_of: Callable[[str], Form], workspace: str = "") -> list[Problem]:
    """Returns what is wrong with the inputs of tasks that have some; `form_of` returns the form of an agent by name.

    Codes: missing_input, unknown_input, wrong_input. A task without any inputs says all of it in its goal. Files that
    inputs name lie in the folder `workspace`, unless that is empty.
    """
    return [
        fault
        for at, task in enumerate(tasks)
        if task.inputs.keys() - OURS
        for fault in _all_faults(task, form_of(task.agent) if task.agent else {}, f"tasks[{at}].inputs", workspace)
    ]


def _all_faults(task: model.Task, form: Form, where: str, workspace: str) -> Iterator[Problem]:
    yield from _faults(task, form, where)
    yield from _strays(task, form, where, workspace) if workspace else ()


def check_blanks(tasks: Sequence[model.Task], form_of: Callable[[str], Form]) -> list[Problem]:
    """Returns what tasks without inputs lack where others of the same document fill in the form of an agent.

    Who fills in none says all of it in the goals, which `notices` speaks of.
    """
    if not any(task.agent and task.inputs.keys() - OURS and form_of(task.agent) for task in tasks):
        return []
    return [
        fault
        for at, task in enumerate(tasks)
        if task.agent and _is_blank(task)
        for fault in _faults(task, form_of(task.agent), f"tasks[{at}].inputs")
    ]


def notices(tasks: Sequence[model.Task], form_of: Callable[[str], Form]) -> list[Notice]:
    """Returns a notice for each agent whose form has needed fields and is left blank."""
    blank: dict[str, list[str]] = {}
    for task in tasks:
        if task.agent and _is_blank(task) and _names(form_of(task.agent).get("required")):
            blank.setdefault(task.agent, []).append(task.id)
    return [
        Notice(code="blank_inputs", message=_advice(agent, form_of(agent)), tasks=tuple(ids))
        for agent, ids in blank.items()
    ]


def _is_blank(task: model.Task) -> bool:
    return not task.inputs and not task.command


def _advice(agent: str, form: Form) -> str:
    needs = set(_names(form.get("required")))
    fields = [line.partition(":")[0] for line in lines(form) if line.partition(" ")[0] in needs]
    return f"`{agent}` reads `inputs`: {'; '.join(fields)}. Without them the goal has to say all of it."


def lines(form: Form) -> list[str]:
    """Returns a form as one line a field: its name, type, allowed values, whether it is needed, what it is for."""
    needs = _names(form.get("required"))
    return [_line(name, spec, is_needed=name in needs) for name, spec in _properties(form).items()]


def _line(name: str, spec: model.Json, *, is_needed: bool) -> str:
    form: Form = spec if json_types.is_object(spec) else {}
    kind = " | ".join(_allowed(form)) or "/".join(_names(form.get("type"))) or "any"
    about = form.get("description")
    return f"{name} ({kind}{', needed' if is_needed else ''}){f': {about}' if isinstance(about, str) else ''}"


def _faults(task: model.Task, form: Form, where: str) -> Iterator[Problem]:
    properties = _properties(form)
    fields = {name: value for name, value in task.inputs.items() if name not in OURS}
    for name in _names(form.get("required")):
        if name not in fields:
            about = properties.get(name)
            hint = about.get("description") if json_types.is_object(about) else None
            fix = f"Send it: {hint}" if isinstance(hint, str) else f"Send `{name}`."
            yield _fault(task, "missing_input", f"{where}.{name}", f"`{task.agent}` needs the input {name!r}.", fix)
    for name, value in fields.items():
        if name in properties:
            yield from _wrong(task, f"{where}.{name}", name, value, properties[name], MOST_DEPTH)
        elif properties and form.get("additionalProperties") is False:
            nearest = problems.nearest(name, list(properties))
            fix = f"Use `{nearest}`." if nearest else f"Inputs are {problems.in_backticks(list(properties), 20)}."
            message = f"`{task.agent}` takes no input {json_types.quoted(name)}."
            yield _fault(task, "unknown_input", f"{where}.{name[:80]}", message, fix, nearest)


def _strays(task: model.Task, form: Form, where: str, workspace: str) -> Iterator[Problem]:
    """Yields the files that inputs name outside of the workspace."""
    properties = _properties(form)
    for name, value in task.inputs.items():
        if not _names_files(name, properties.get(name)):
            continue
        for text in _names(value)[:100]:
            if _leads_out(text, workspace):
                message = (
                    f"`{name}` is {json_types.quoted(text)}, outside the workspace {json_types.quoted(workspace)}."
                )
                yield _fault(task, "wrong_input", f"{where}.{name}", message, "Name a path inside the workspace.")


def _names_files(name: str, spec: model.Json) -> bool:
    form = spec.get("format") if json_types.is_object(spec) else None
    return form == "path" if isinstance(form, str) else name in (*WRITTEN, *READ)


def _leads_out(path: str, workspace: str) -> bool:
    inside = path_globs.normalise(path, workspace)
    return inside == ".." or inside.startswith(("/", "../", "~/")) or bool(_DRIVE.match(inside))


def _wrong(  # noqa: PLR0917  # a value, its place and what is asked of it
    task: model.Task, where: str, name: str, value: model.Json, spec: model.Json, depth: int
) -> Iterator[Problem]:
    """Yields what is wrong with one value: its type, a value that is not allowed, an empty text, its items."""
    if not json_types.is_object(spec) or not depth:
        return
    kinds = [kind for kind in _names(spec.get("type")) if kind in _TYPES]
    choices = _allowed(spec)
    got = f"`{name}` is {json_types.quoted(value)}"
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        yield _fault(task, "wrong_input", where, f"{got}, no {' or '.join(kinds)}.", _fix_of_type(kinds, choices))
    elif choices and not any(value == choice and type(value) is type(choice) for choice in _list(spec.get("enum"))):
        nearest = problems.nearest(value, choices) if isinstance(value, str) else ""
        fix = f"Use one of {problems.in_backticks(choices, 20)}."
        yield _fault(task, "wrong_input", where, f"{got}.", fix, nearest)
    elif isinstance(value, str) and spec.get("minLength") and not value.strip():
        yield _fault(task, "wrong_input", where, f"{got}: it says nothing.", "Say it in words.")
    elif json_types.is_list(value):
        for at, item in enumerate(value[:100]):
            yield from _wrong(task, f"{where}[{at}]", f"{name}[{at}]", item, spec.get("items"), depth - 1)


def _fix_of_type(kinds: Sequence[str], choices: Sequence[str]) -> str:
    return f"Use one of {problems.in_backticks(choices, 20)}." if choices else f"Send {' or '.join(map(_a, kinds))}."


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aoi' else 'a'} {kind}"


def _fault(  # noqa: PLR0917  # the fields of a problem in their order
    task: model.Task, code: str, where: str, message: str, fix: str, nearest: str = ""
) -> Problem:
    return Problem(code=code, task=task.id, where=where, message=message, fix=fix, did_you_mean=nearest)


def _properties(form: Form) -> Mapping[str, model.Json]:
    properties = form.get("properties")
    return properties if json_types.is_object(properties) else {}


def _names(value: model.Json) -> list[str]:
    return [value] if isinstance(value, str) else [name for name in _list(value) if isinstance(name, str)]


def _allowed(form: Form) -> list[str]:
    return [str(choice) for choice in _list(form.get("enum"))]


def _list(value: model.Json) -> Sequence[model.Json]:
    return value if json_types.is_list(value) else ()
