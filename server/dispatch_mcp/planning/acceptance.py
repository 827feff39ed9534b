"""What `acceptance` of a task may say, and which of it the server can check itself.

- `file:PATH` there is such a file; with a slash at its end, such a folder
- `absent:PATH` there is nothing of that name
- `glob:PATTERN`, `glob:PATTERN >= N` at least one (or N) files match; `**` stands for any folders, `{a,b}` for either
- `command: PROGRAM ARGUMENT ...` it ends with exit code 0; an argv, never a shell, from the user's allow-list
- `diff`, `diff:PATTERN` something that the task declared (or that matches) has really changed

Anything else is a criterion in words: for the worker and for reviewers, and never proven by the server. Paths lie
inside the workspace, and not where git keeps its own. Names of the forms are taken in any case, values in quotes or
backticks as well.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import problems
from dispatch_mcp.text import json_types, path_globs

Kind = Literal["file", "absent", "glob", "command", "diff", "words"]

FORMS: Final[tuple[Kind, ...]] = ("file", "absent", "glob", "command", "diff")
"""What the server can check."""


MAX_LEAST: Final = 10_000

_BY_NAME: Final[dict[str, Kind]] = {form: form for form in FORMS}
_ALIASES: Final[dict[str, Kind]] = {"files": "file", "exists": "file", "cmd": "command"}
_ORDINARY: Final = frozenset({"comment", "comments", "commend", "demand", "commands"})
"""Words that look like a misspelt form and begin ordinary sentences."""

_FORM = re.compile(r"\s*+([A-Za-z][A-Za-z_-]{1,15})\s*+:(?!//)(.*+)", re.DOTALL)
_LEAST = re.compile(r"\s(?:>=|≥)\s*+(\d{1,9})\Z")
_DRIVE = re.compile(r"[A-Za-z]:")
_UNSEEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_SHELL = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "<<", "2>&1", "2>"})
_ANY_CHANGE = frozenset({"", "any", "changed", "non-empty", "nonempty", "not empty"})
_QUOTES = "\"'`"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion. `text` is how its author wrote it.

    `subject` is a path or pattern relative to the workspace, with a slash at its end if a folder is meant; a `diff`
    without one means the declared files. `argv` is a command's; `least` is how many files must match a glob.
    """

    text: str
    kind: Kind
    subject: str = ""
    argv: tuple[str, ...] = ()
    least: int = 1


class Fault(NamedTuple):
    """Why a criterion cannot be what its first word says; `meant` is what its author probably wanted."""

    message: str
    fix: str
    meant: str = ""


def criteria_of(task: model.Task, workspace: str = "") -> tuple[Criterion, ...]:
    """Returns the criteria of a task in its order; one with a fault counts as words."""
    read_ones = ((text, read(text, workspace)) for text in task.acceptance)
    return tuple(
        [criterion if isinstance(criterion, Criterion) else Criterion(text, "words") for text, criterion in read_ones]
    )


def read(text: str, workspace: str = "") -> Criterion | Fault:
    """Returns what a criterion says, or what is wrong with it. `workspace` is an absolute path, or empty."""
    if text.strip(f" \t\n.{_QUOTES}").casefold() == "diff":
        return Criterion(text, "diff")
    form = _FORM.fullmatch(text)
    if not form:
        return Criterion(text, "words")
    name, rest = form[1].casefold(), form[2].strip()
    kind = _kind(name, rest)
    if kind is None:
        nearest = _misspelt(name, rest)
        return _typo(form[1], nearest, rest) if nearest else Criterion(text, "words")
    return _READERS[kind](text, rest, workspace)


def problems_of(tasks: Sequence[model.Task], workspace: str = "") -> Iterator[problems.Problem]:
    """Yields a `bad_acceptance` for every criterion that cannot be what it says."""
    for position, task in enumerate(tasks):
        for place, text in enumerate(task.acceptance):
            criterion = read(text, workspace)
            fault = criterion if isinstance(criterion, Fault) else _baseless(criterion, task)
            if fault:
                yield problems.Problem(
                    code="bad_acceptance",
                    task=task.id,
                    where=f"tasks[{position}].acceptance[{place}]",
                    message=fault.message,
                    fix=fault.fix,
                    did_you_mean=fault.meant,
                )


def describe(criterion: Criterion) -> str:
    """Returns the criterion as a sentence for whoever does the work."""
    subject = criterion.subject
    sentences: dict[Kind, str] = {
        "file": f"`{subject}` exists",
        "absent": f"`{subject}` does not exist",
        "glob": f"at least {criterion.least} file{'s' * (criterion.least != 1)} match `{subject}`",
        "command": f"`{shlex.join(criterion.argv)}` ends with exit code 0",
        "diff": f"something in `{subject}` has really changed" if subject else "a declared file has really changed",
    }
    sentence = sentences.get(criterion.kind)
    return f"{sentence} (the server checks this)" if sentence else criterion.text


def _kind(name: str, rest: str) -> Kind | None:
    """Returns the form that a first word names; an alias only counts before something without blanks, or a command."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    whole = name in _ALIASES and (name == "cmd" or (rest and not _blank(rest)))
    return _ALIASES[name] if whole else None


def _misspelt(name: str, rest: str) -> Kind | None:
    if not rest or name in _ORDINARY:
        return None
    nearest = min(FORMS, key=functools.partial(problems.distance, name))
    away = problems.distance(name, nearest)
    path_like = not _blank(rest) and re.search(r"[/*]" if away == 2 else r"[/*.]", rest) is not None
    return nearest if away <= 2 and (nearest == "command" or path_like) else None


def _typo(name: str, nearest: Kind, rest: str) -> Fault:
    return Fault(
        f"{json_types.quoted(name)} is no form of acceptance.",
        f"Use `{nearest}:`, or put it into words that do not begin with a name and a colon.",
        f"{nearest}:{' ' if nearest == 'command' else ''}{rest}"[:200],
    )


def _baseless(criterion: Criterion, task: model.Task) -> Fault | None:
    if criterion.kind != "diff" or criterion.subject or task.files:
        return None
    return Fault(
        f"Task {json_types.quoted(task.id)} asks for a diff and declares no files.",
        "List `files` that the task writes, or name what changes, such as `diff:src/**`.",
    )


def _read_file(text: str, rest: str, workspace: str) -> Criterion | Fault:
    if re.search(r"[*?]", rest):
        return _read_glob(text, rest, workspace)
    place = _place("file", rest, workspace)
    if isinstance(place, str) and path_globs.BRACES.search(place):
        return Fault(f"`file:` takes one path, not {json_types.quoted(place)}.", "Write one criterion per file.")
    return place if isinstance(place, Fault) else Criterion(text, "file", place)


def _read_absent(text: str, rest: str, workspace: str) -> Criterion | Fault:
    place = _place("absent", rest, workspace)
    if isinstance(place, str) and re.search(r"[*?]", place):
        return Fault(f"`absent:` takes a path, not the pattern {json_types.quoted(place)}.", "Name one path.")
    return place if isinstance(place, Fault) else Criterion(text, "absent", place.rstrip("/"))


def _read_glob(text: str, rest: str, workspace: str) -> Criterion | Fault:
    match = _LEAST.search(rest)
    pattern, least = (rest[: match.start()].rstrip(), int(match[1])) if match else (rest, 1)
    place = _place("glob", pattern, workspace)
    if isinstance(place, Fault):
        return place
    if not 1 <= least <= MAX_LEAST:
        return Fault(f"`glob:` asks for {least} files.", f"Ask for 1 to {MAX_LEAST}; `absent:PATH` asks for none.")
    if len(path_globs.alternatives(place)) >= path_globs.MAX_ALTERNATIVES:
        return Fault(
            f"The braces of {json_types.quoted(place)} stand for too many patterns.", "Write several criteria."
        )
    if any(".." in choice.split("/") for choice in path_globs.alternatives(place)):
        return Fault(
            f"{json_types.quoted(place)} leads outside the workspace.", "Name a path relative to the workspace."
        )
    return Criterion(text, "glob", f"{place}**" if place.endswith("/") else place, least=least)


def _read_diff(text: str, rest: str, workspace: str) -> Criterion | Fault:
    if rest.strip(_QUOTES).casefold() in _ANY_CHANGE:
        return Criterion(text, "diff")
    place = _place("diff", rest, workspace)
    return place if isinstance(place, Fault) else Criterion(text, "diff", place.rstrip("/"))


def _read_command(text: str, rest: str, _workspace: str) -> Criterion | Fault:
    example = "Write one program and its arguments, such as `command: pytest -q tests`."
    try:
        argv = _argv(rest)
    except (ValueError, RecursionError) as wrong:
        return Fault(f"The command {json_types.quoted(rest)} cannot be read: {wrong}.", example)
    if not argv or not argv[0] or any(_UNSEEN.search(word) for word in argv):
        return Fault("`command:` names no program, or holds characters that cannot be seen.", example)
    shell = next((word for word in argv if word in _SHELL or word.startswith("$(") or word.endswith(";")), "")
    if shell:
        return Fault(
            f"There is no shell, so {json_types.quoted(shell)} means nothing.",
            f"{example} Give each its own criterion.",
        )
    return Criterion(text, "command", argv=argv)


def _argv(rest: str) -> tuple[str, ...]:
    """Returns the words of a command, written for people or as a JSON list. Raises ValueError."""
    if rest.startswith("["):
        words: model.Json = json.loads(rest)
        if not all(isinstance(word, str) for word in words):
            raise ValueError("a list of strings is wanted")
        return tuple(words)
    bare = rest[1:-1] if len(rest) > 1 and rest[0] == rest[-1] == "`" else rest
    return tuple(shlex.split(bare))


_READERS: Final = {
    "file": _read_file,
    "absent": _read_absent,
    "glob": _read_glob,
    "command": _read_command,
    "diff": _read_diff,
}


def _blank(text: str) -> bool:
    in_quotes = len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]
    return not in_quotes and bool(re.search(r"\s", text))


def _place(kind: Kind, subject: str, workspace: str) -> str | Fault:
    """Returns a path below the workspace, or why it is none."""
    if _blank(subject):
        first = subject.split(maxsplit=1)[0]
        example = f"{kind}:{first}"[:200] if re.search(r"[/.*]", first) else ""
        return Fault(
            f"`{kind}:` takes one path, not {json_types.quoted(subject)}.",
            f"Put a path with blanks into quotes; a criterion in words must not begin with `{kind}:`.",
            example,
        )
    path = subject.strip(_QUOTES).replace("\\", "/")
    if not path or _UNSEEN.search(path):
        return Fault(f"`{kind}:` names no path.", f"Name one inside the workspace, such as `{kind}:src/users.py`.")
    inside = _inside(path, posixpath.normpath(workspace.replace("\\", "/")) if workspace else "")
    if not inside:
        return Fault(
            f"{json_types.quoted(path)} is not inside the workspace.", "Name a path relative to the workspace."
        )
    if path_globs.is_of_git(inside):
        return Fault(f"{json_types.quoted(path)} is git's own and shows no work.", "Name a file that the work makes.")
    return inside + "/" * path.endswith("/")


def _inside(path: str, workspace: str) -> str:
    """Returns the path relative to the workspace, or an empty string if it is the workspace or outside."""
    if path.startswith("~") or _DRIVE.match(path) or ".." in path.split("/"):
        return ""
    if path.startswith("/"):
        path = posixpath.normpath(f"/{path.lstrip('/')}")
        if not workspace or not path.startswith(f"{workspace.rstrip('/')}/"):
            return ""
        path = path[len(workspace.rstrip("/")) + 1 :]
    path = posixpath.normpath(path)
    return "" if path == "." or path.startswith(("/", "..")) else path
