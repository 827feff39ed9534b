"""Reads the task documents that models write, and writes results (docs/rules.md#result-document)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import bounds, problems, records, transitions
from dispatch_mcp.model.problems import Notice, Problem
from dispatch_mcp.planning import json_reader, limits, typed_inputs
from dispatch_mcp.text import json_types, languages

_TASK_FIELDS: Final = model.task_fields()

ALIASES: Final[Mapping[str, str]] = {
    alias: name for name, field in _TASK_FIELDS.items() for alias in field.is_a.aliases
}
"""Other names of task fields: those of docs/rules.md#task-document-format, and those of hosts' own calls."""

MAX_UNKNOWN: Final = 20
"""Unknown fields named per object."""

MAX_TIMEOUT_S: Final = 7 * 86_400.0
"""Seconds: a task may take a week at most; chosen, so that a typing error does not hold a worker for years."""

_Read = Callable[[json_reader.FieldReader, str, model.Json], model.Json]


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read. With any problem the tasks are only good for finding more problems."""

    tasks: tuple[model.Task, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """A task document: its tasks and its config, each setting None where it says nothing.

    Format: docs/rules.md#task-document-format. `timeout_s` is seconds for each task without a timeout of its own.
    """

    reading: Reading
    max_parallel: int | None = None
    timeout_s: float | None = None
    trace_dir: str | None = None


def _choice(words: Sequence[str]) -> _Read:
    return lambda reader, key, value: reader.choice(key, value, words)


def _attempts(reader: json_reader.FieldReader, key: str, value: model.Json) -> int | None:
    read = reader.number(key, value, 1, 20, whole=True)
    return None if read is None else int(read)


def _timeout(reader: json_reader.FieldReader, key: str, value: model.Json) -> float | None:
    return reader.number(key, value, 0.001, MAX_TIMEOUT_S)


def _paths(reader: json_reader.FieldReader, key: str, value: model.Json) -> tuple[str, ...] | None:
    return reader.texts(key, value, json_reader.MAX_NAME)


def _argv(reader: json_reader.FieldReader, key: str, value: model.Json) -> tuple[str, ...] | None:
    if isinstance(value, str) or (json_types.is_list(value) and "" in value):
        reader.wrong(key, value, "the program and its arguments as a list of non-empty strings; there is no shell")
        return None
    return reader.texts(key, value)


def _limits(reader: json_reader.FieldReader, key: str, value: model.Json) -> model.TaskLimits | None:
    """Returns a task's own ceilings, under whichever of their names they were sent."""
    raw = reader.mapping(key, value)
    if raw is None:
        return None
    read: dict[str, model.Json] = {}
    names = {*model.TaskLimits.model_fields}
    for name, amount in limits.canonical(raw).items():
        if name not in names:
            nearest = problems.nearest(name, names)
            fix = f"Use `{nearest}`." if nearest else f"A task's limits are {problems.in_backticks(sorted(names))}."
            reader.problem("unknown_field", f"{key}.{json_reader.printable(name)}", "There is no such limit.", fix=fix)
        else:
            read[name] = reader.number(
                f"{key}.{name}", amount, *bounds.CEILINGS[name][:2], whole=bounds.CEILINGS[name].whole
            )
    return model.TaskLimits(**{name: int(n) if bounds.CEILINGS[name].whole else n for name, n in read.items() if n})


_READERS: Final[Mapping[model.TaskValue, _Read]] = {
    "name": json_reader.FieldReader.name,
    "text": json_reader.FieldReader.text,
    "names": json_reader.FieldReader.names,
    "paths": _paths,
    "texts": json_reader.FieldReader.texts,
    "argv": _argv,
    "object": json_reader.FieldReader.mapping,
    "seconds": _timeout,
    "count": _attempts,
    "ceilings": _limits,
}


def readers(task_type: type[model.Task]) -> dict[str, _Read]:
    """Returns what reads each field of a task, by the name that is sent; a value that does not fit becomes None."""
    return {
        name: _choice(field.words) if field.is_a.holds == "choice" else _READERS[field.is_a.holds]
        for name, field in model.task_fields(task_type).items()
    }


_FIELDS: Final = readers(model.Task)
_NAMES: Final[Mapping[str, object]] = {**_FIELDS, **ALIASES}
"""What fields of a task can be called."""


def read_tasks(raw: model.Json) -> Reading:
    """Returns the tasks of a JSON list, with every problem in it; never raises for a JSON value.

    Aliases are normalised and lone strings wrapped; each kind of repair is noted once.
    """
    reader = json_reader.FieldReader()
    return _finish(reader, _tasks(reader, raw))


def read_document(raw: model.Json) -> PlanDocument:
    """Returns the tasks and config of a `{"tasks": …, "config": …}` document, or of a bare task list."""
    reader = json_reader.FieldReader()
    if not json_types.is_object(raw):
        return PlanDocument(_finish(reader, _tasks(reader, raw)))
    sections = _known_only(reader, raw, ("tasks", "config"))
    config = sections.get("config")
    read: dict[str, model.Json] = {}
    if json_types.is_object(config):
        reader.place = "config"
        for key, value in _known_only(reader, json_types.without_left_out(config), tuple(_CONFIG)).items():
            read[key] = _CONFIG[key](reader, key, value)
    elif not json_types.is_left_out(config):
        reader.wrong("config", config, "an object")
    reader.place = reader.task = ""
    reading = _finish(reader, _tasks(reader, sections.get("tasks", [])))
    return PlanDocument(reading, read.get("max_workers"), read.get("timeout_seconds"), read.get("trace_dir"))


def _workers(reader: json_reader.FieldReader, key: str, value: model.Json) -> int | None:
    read = reader.number(key, value, 1, bounds.MAX_PARALLEL, whole=True)
    return None if read is None else int(read)


_CONFIG: Final[Mapping[str, _Read]] = {
    "max_workers": _workers,
    "timeout_seconds": _timeout,
    "trace_dir": json_reader.FieldReader.name,
}


def _finish(reader: json_reader.FieldReader, tasks: Sequence[model.Task]) -> Reading:
    repairs = "; ".join(reader.repaired)
    notes = (Notice(code="normalised", message=f"Read as meant: {repairs}."),) if repairs else ()
    return Reading(tuple(tasks), tuple(reader.found), notes)


def _tasks(reader: json_reader.FieldReader, raw: model.Json) -> list[model.Task]:
    if not json_types.is_list(raw):
        reader.wrong("tasks", raw, "a list of task objects")
        return []
    if len(raw) > bounds.MAX_TASKS:
        message = f"The plan has {len(raw)} tasks; at most {bounds.MAX_TASKS} are allowed."
        reader.problem("too_many_tasks", "tasks", message, fix="Merge small tasks or send several plans.")
        return []
    tasks = [_task(reader, at, item) for at, item in enumerate(raw)]
    return [task for task in tasks if task is not None]


def _task(reader: json_reader.FieldReader, at: int, raw: model.Json) -> model.Task | None:
    reader.place, reader.task = f"tasks[{at}]", ""
    if not json_types.is_object(raw):
        reader.wrong("", raw, "an object with `id` and `do`")
        return None
    raw = json_types.without_left_out(raw)
    name = raw.get("id", raw.get("task_id"))
    reader.task = json_reader.printable(name) if isinstance(name, str) else ""
    values: dict[str, model.Json] = {"id": "", "do": ""}
    fields = raw if raw.keys() <= _FIELDS.keys() else _canonical(reader, raw)
    for key, value in fields.items():
        read = _FIELDS[key](reader, key, value)
        if not json_types.is_left_out(read):
            values[key] = read
    if "input_data" in raw and isinstance(values.get("inputs"), dict):
        _take_paths(values)
    if "reviews" in values:
        values["deps"] = tuple(dict.fromkeys((*values.get("deps", ()), *values["reviews"])))
    return model.Task(**values)


def _canonical(reader: json_reader.FieldReader, raw: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns the known fields under their own names."""
    out: dict[str, model.Json] = {}
    for key, value in _known_only(reader, raw, _NAMES).items():
        name = ALIASES.get(key, key)
        if name != key:
            reader.repaired[f"`{key}` as `{name}`"] = None
        if name in out and out[name] != value:
            message = f"{name!r} is given twice with different values, once as {key!r}."
            reader.problem("conflicting_fields", name, message, fix=f"Send `{name}` only.")
        out.setdefault(name, value)
    return out


def _known_only(
    reader: json_reader.FieldReader, raw: Mapping[str, model.Json], names: Collection[str]
) -> dict[str, model.Json]:
    """Returns the entries with known keys and notes the others as problems.

    A misspelt key counts as the one that was meant, if that is free: its value is not missing as well.
    """
    out = {key: value for key, value in raw.items() if key in names}
    strange = [key for key in raw if key not in names]
    for key in strange[:MAX_UNKNOWN]:
        nearest = problems.nearest(str(key), names)
        fix = f"Use `{nearest}`." if nearest else f"Known fields: {problems.in_backticks(tuple(names), len(names))}."
        quotation = json_types.quoted(key)
        reader.problem(
            "unknown_field", json_reader.printable(str(key)), f"There is no field {quotation}.", fix=fix, meant=nearest
        )
        if nearest and ALIASES.get(nearest, nearest) not in {ALIASES.get(name, name) for name in out}:
            out[nearest] = raw[key]
    if len(strange) > MAX_UNKNOWN:
        reader.problem("unknown_field", "", f"{len(strange) - MAX_UNKNOWN} more unknown fields.")
    return out


def _take_paths(values: dict[str, model.Json]) -> None:
    """Declares the paths that `input_data` names as files and reads, unless the task declares its own.

    Who writes code delivers its test: where no input names that, it may have any usual name.
    """
    inputs = values["inputs"]
    outputs = _strings([inputs.get(name) for name in typed_inputs.WRITTEN])
    read = _strings([path for name in typed_inputs.READ for path in _listed(inputs.get(name))])
    if outputs:
        tests = languages.test_globs(outputs[0]) if len(outputs) == 1 else ()
        values.setdefault("files", (*outputs, *tests))
    if read:
        values.setdefault("reads", read)


def _listed(value: model.Json) -> Sequence[model.Json]:
    return value if json_types.is_list(value) else ()


def _strings(values: Sequence[model.Json]) -> tuple[str, ...]:
    return tuple(value for value in values[: json_reader.MAX_LIST] if isinstance(value, str) and value)


def result_document(
    tasks: Sequence[records.TaskRecord],
    outcomes: Mapping[str, model.Outcome],
    attempts: Mapping[str, records.AttemptRecord],
    *,
    total_s: float,
    trace_files: Mapping[str, str] | None = None,
    is_partial: bool = False,
) -> dict[str, model.Json]:
    """Returns the results of a run in the format of docs/rules.md#result-document.

    Outcomes, last attempts and trace files are by task id; any may be missing. A task that the user skipped counts
    as an error without work; work that nobody proved is a success with `unverified` beside it. `total_s` is the wall
    time of the run in seconds; `is_partial` is whether the run did not succeed, though each task may be a success:
    a review blocks it, or what is unproven counts as partial.
    """
    traces = trace_files or {}
    results = [_result(task, outcomes.get(task.id), attempts.get(task.id), traces.get(task.id, "")) for task in tasks]
    good = sum(result["status"] == "success" for result in results)
    whole = "success" if good == len(results) and not is_partial else "partial" if good else "failure"
    return {
        "status": whole,
        "results": results,
        "summary": {
            "total_tasks": len(results),
            "successful": good,
            "failed": len(results) - good,
            "total_time_ms": round(total_s * 1000),
        },
    }


def _result(
    task: records.TaskRecord, outcome: model.Outcome | None, attempt: records.AttemptRecord | None, trace_file: str
) -> dict[str, model.Json]:
    good = task.state in model.TASK_DONE
    out: dict[str, model.Json] = {
        "task_id": task.id,
        "status": "success" if good else "error",
        "output": _output(outcome),
        "error": None if good else _error(task, outcome, attempt),
        "execution_time_ms": _milliseconds(outcome, attempt),
        "trace_file": trace_file or None,
    }
    if task.state is model.TaskState.UNVERIFIED:
        out["unverified"] = True
    return out


def _output(outcome: model.Outcome | None) -> model.Json:
    if outcome is None:
        return None
    return outcome.output if outcome.output is not None else outcome.summary or None


_NOT_YET: Final[Mapping[model.TaskState, str]] = {
    model.TaskState.BLOCKED: "not begun yet: waits for other tasks",
    model.TaskState.READY: "not begun yet",
    model.TaskState.RUNNING: "not done yet: at work",
}
_WAITING_FOR: Final[Mapping[model.WorkerKind, str]] = {
    model.WorkerKind.HUMAN: "not done yet: waits for a person to decide",
    model.WorkerKind.HOST: "not done yet: out with an assistant",
}
"""What a result says of a task that a run has left open."""


def _error(task: records.TaskRecord, outcome: model.Outcome | None, attempt: records.AttemptRecord | None) -> str:
    message = (outcome.error if outcome else "") or (attempt.error if attempt else "")
    if task.state is model.TaskState.SKIPPED:
        return message or transitions.why_skipped(task.cause)
    state = _NOT_YET.get(task.state, task.state.value)
    if task.state is model.TaskState.RUNNING:
        state = _WAITING_FOR.get(task.worker, state)
    return message or (f"{state}: {task.cause}" if task.cause else state)


def _milliseconds(outcome: model.Outcome | None, attempt: records.AttemptRecord | None) -> int:
    if attempt is not None and attempt.ended_at is not None:
        return max(0, round((attempt.ended_at - attempt.started_at) * 1000))
    return round(outcome.usage.seconds * 1000) if outcome else 0
