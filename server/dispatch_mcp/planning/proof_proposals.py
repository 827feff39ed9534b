"""What could prove tasks that ask for no proof, and which commands of a plan may not start.

A proposal names what the workspace shows: that a declared file really changes, and the call of the program that runs
the tests of such files, if the user allows it. It is shown with the plan and taken by an edit, never added unasked.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, problems
from dispatch_mcp.planning import acceptance
from dispatch_mcp.process import allowlist
from dispatch_mcp.text import json_types, languages

MOST_FILES: Final = 3
"""Test files that a proposed command names; where there are more, only a call that runs all of them will do."""

MOST_COMMANDS: Final = 3
"""Commands that may not start of which a plan's answer says how to allow them."""

NOT_ALLOWED: Final = "not_allowed"
"""The code of notices of commands that would be refused."""

EVERY_TASK: Final = "*"
"""What stands for all tasks without proof, in proposals and in the edit that takes them."""

Argv = tuple[str, ...]

_BY_HAND = (WorkerKind.COMMAND, WorkerKind.SCRIPTED, WorkerKind.HUMAN)
"""Workers whose work needs no proof of its own: an exit code, a simulation, a person's word."""


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """What a workspace shows of how it is tested: `texts` of files at its root, and `names` of paths near it."""

    texts: Mapping[str, str]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Runner:
    """A program that runs the tests of a project.

    `calls` are the usual ways to call it, the first the best known; `words` all stand in an entry of the user's own
    that calls it; `kinds` are the languages that it tests, none for all code.
    """

    calls: tuple[Argv, ...]
    words: frozenset[str]
    kinds: frozenset[languages.Language] = frozenset()


class Proposals(NamedTuple):
    """Acceptance by task id, and the call that would prove more if the user allowed it."""

    by_task: Mapping[str, tuple[str, ...]] = {}
    if_allowed: Argv = ()


def _calls(*texts: str) -> tuple[Argv, ...]:
    return tuple(tuple(text.split()) for text in texts)


_PYTHON: Final[frozenset[languages.Language]] = frozenset({"python"})
_SCRIPT: Final[frozenset[languages.Language]] = frozenset({"script"})
_TYPED: Final[frozenset[languages.Language]] = frozenset({"typed"})
_LAUNCHERS: Final = ("", "python -m ", "python3 -m ", "uv run ", "poetry run ", "hatch run ", "pdm run ")
_PYTEST: Final = Runner(
    _calls(*(f"{start}pytest{end}" for start in _LAUNCHERS for end in (" -q", ""))), frozenset({"pytest"}), _PYTHON
)
_UNITTEST: Final = Runner(_calls("python -m unittest", "python3 -m unittest"), frozenset({"unittest"}), _PYTHON)
_LOCKS: Final[Mapping[str, str]] = {
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun run",
    "bun.lockb": "bun run",
}
_PYTEST_FILES: Final = ("pyproject.toml", "setup.cfg", "tox.ini", "requirements-dev.txt", "requirements.txt")
_BY_FILE: Final[Mapping[str, Runner]] = {
    "tox.ini": Runner(_calls("tox -q", "tox"), frozenset({"tox"}), _PYTHON),
    "noxfile.py": Runner(_calls("nox"), frozenset({"nox"}), _PYTHON),
    "go.mod": Runner(_calls("go test ./..."), frozenset({"go", "test"}), frozenset({"go"})),
    "Cargo.toml": Runner(_calls("cargo test", "cargo test -q"), frozenset({"cargo", "test"}), frozenset({"rust"})),
    "pom.xml": Runner(_calls("mvn -q test", "mvn test"), frozenset({"mvn", "test"}), _TYPED),
    "build.gradle": Runner(_calls("gradle test"), frozenset({"gradle", "test"}), _TYPED),
    "build.gradle.kts": Runner(_calls("gradle test"), frozenset({"gradle", "test"}), _TYPED),
    ".rspec": Runner(_calls("bundle exec rspec", "rspec"), frozenset({"rspec"}), frozenset({"ruby"})),
}
"""Runners whose file at the root is evidence enough."""

_MAKEFILES: Final = ("Makefile", "makefile", "GNUmakefile")
_TARGET: Final = re.compile(r"^(test|check)[ \t]*:(?!=)", re.MULTILINE)
_NO_TESTS: Final = "no test specified"
"""What npm writes into a package without tests."""


def runners_of(project: ProjectFiles) -> tuple[Runner, ...]:
    """Returns what runs the tests of a project, as far as its files say so; what is made for a language comes first."""
    return (
        *_of_python(project),
        *_of_scripts(project),
        *(runner for name, runner in _BY_FILE.items() if name in project.names),
        *_of_makefile(project),
    )


def _of_python(project: ProjectFiles) -> Iterator[Runner]:
    has_tests = any(languages.role(name) == "test" and languages.language(name) == "python" for name in project.names)
    mentions_pytest = any("pytest" in project.texts.get(name, "") for name in _PYTEST_FILES)
    if mentions_pytest or project.names & {"pytest.ini", "conftest.py", "tests/conftest.py"}:
        yield _PYTEST
    elif has_tests:
        yield from (_UNITTEST, _PYTEST)


def _of_scripts(project: ProjectFiles) -> Iterator[Runner]:
    try:
        package: model.Json = json.loads(project.texts.get("package.json", ""))
    except (ValueError, RecursionError):
        return
    scripts = package.get("scripts") if json_types.is_object(package) else None
    script = scripts.get("test") if json_types.is_object(scripts) else None
    if isinstance(script, str) and script.strip() and _NO_TESTS not in script:
        program = next((program for lock, program in _LOCKS.items() if lock in project.names), "npm")
        calls = _calls(f"{program} test", f"{program.split()[0]} run test", f"{program} -s test")
        yield Runner(calls, frozenset({program.split()[0], "test"}), _SCRIPT)


def _of_makefile(project: ProjectFiles) -> Iterator[Runner]:
    text = next((project.texts[name] for name in _MAKEFILES if name in project.texts), "")
    for target in sorted(set(_TARGET.findall(text)), reverse=True):
        yield Runner(_calls(f"make {target}", f"make -s {target}"), frozenset({"make", target}))


def proposal_for(
    task: model.Task, runners: Sequence[Runner], allow_list: allowlist.AllowList
) -> tuple[tuple[str, ...], Argv]:
    """Returns acceptance for a task that declares files and asks for no proof, and the call that it lacks leave for."""
    if task.acceptance or not task.files or task.command or task.worker in _BY_HAND:
        return (), ()
    fitting = [runner for runner in runners if _tests(runner, task.files)]
    call = next(filter(None, (_allowed_call(runner, task, allow_list) for runner in fitting)), ())
    command = f"command: {shlex.join(call)}" if call else ""
    proposal = (_change_of(task.files), command) if command else (_change_of(task.files),)
    return proposal, fitting[0].calls[0] if fitting and not call else ()


def propose(tasks: Iterable[model.Task], runners: Sequence[Runner], allow_list: allowlist.AllowList) -> Proposals:
    """Returns what could prove those of the tasks that declare files and ask for no proof."""
    by_task: dict[str, tuple[str, ...]] = {}
    if_allowed: Argv = ()
    for task in tasks:
        proposal, call = proposal_for(task, runners, allow_list)
        if_allowed = if_allowed or call
        if proposal:
            by_task[task.id] = proposal
    return Proposals(by_task, if_allowed)


def answer(proposals: Proposals) -> dict[str, model.Json]:
    """Returns proposals as a plan's answer shows them: what most tasks share once, under `*`, and the others beside."""
    if not proposals.by_task:
        return {}
    [(common, _)] = Counter(proposals.by_task.values()).most_common(1)
    particular = {task_id: list(proposal) for task_id, proposal in proposals.by_task.items() if proposal != common}
    out: dict[str, model.Json] = {"prove": {EVERY_TASK: list(common), **particular}}
    return {**out, "prove_if_allowed": shlex.join(proposals.if_allowed)} if proposals.if_allowed else out


def refused_commands(
    tasks: Sequence[model.Task], allow_list: allowlist.AllowList, how_to_allow: Callable[[Argv, Sequence[Argv]], str]
) -> Iterator[problems.Notice]:
    """Yields a notice for each command that a plan asks for and that would be refused.

    The last of them says what the user writes for all: one line, as a setting can stand only once in a file.
    """
    task_ids: dict[Argv, list[str]] = {}
    for task in tasks:
        for argv in dict.fromkeys(_commands(task)):
            if allow_list.find(argv) is None:
                task_ids.setdefault(argv, []).append(task.id)
    commands = list(task_ids)[:MOST_COMMANDS]
    possible = [argv for argv in commands if allowlist.entry_for(argv) is not None]
    for argv in commands:
        own = "" if argv in possible[:-1] else how_to_allow(argv, possible[:-1] if argv in possible else ())
        message = f"{json_types.quoted(shlex.join(argv))} is not on the user's allow-list. {own}".rstrip()
        yield problems.Notice(code=NOT_ALLOWED, tasks=tuple(task_ids[argv][:20]), message=message)
    if len(task_ids) > MOST_COMMANDS:
        rest = len(task_ids) - MOST_COMMANDS
        yield problems.Notice(code=NOT_ALLOWED, message=f"{rest} more commands are not on it either.")


def _commands(task: model.Task) -> Iterator[Argv]:
    """Yields what the server itself would start for a task."""
    if task.command:
        yield task.command
    yield from (criterion.argv for criterion in acceptance.criteria_of(task) if criterion.kind == "command")


def _tests(runner: Runner, files: Sequence[str]) -> bool:
    """Returns whether a runner tests any of these files."""
    code = [language for language in map(_code, files) if language is not None]
    return any(not language or not runner.kinds or language in runner.kinds for language in code)


def _code(path: str) -> languages.Language | None:
    """Returns the language of a path that is code, an empty one for a folder that may hold any, else None."""
    role = languages.role(path)
    if role in ("source", "test"):
        return languages.language(path)
    is_folder = not languages.extension(path) and re.search(r"[*?/]", path) is not None
    return "" if is_folder and role == "other" else None


def _allowed_call(runner: Runner, task: model.Task, allow_list: allowlist.AllowList) -> Argv:
    """Returns the first call of a runner that the user allows: a usual one, one of their entries, or one for files."""
    own = [rule.tokens for rule in allow_list.rules if rule.options is None and runner.words <= {*rule.tokens}]
    calls = [*runner.calls, *(tokens[:-1] if tokens[-1] == allowlist.REST else tokens for tokens in own)]
    tests = tuple(path for path in task.files if languages.role(path) == "test" and not re.search(r"[*?\[]", path))
    if tests and len(tests) <= MOST_FILES:
        calls += [(*call, *tests) for call in runner.calls]
    return next((call for call in calls if allow_list.find(call) and _is_readable(call)), ())


def _is_readable(argv: Argv) -> bool:
    """Returns whether acceptance says these words and no others; a pattern of an entry is no argument."""
    criterion = acceptance.read(f"command: {shlex.join(argv)}")
    literal = not any(re.search(r"[*?\[]", word) for word in argv)
    return literal and isinstance(criterion, acceptance.Criterion) and criterion.argv == argv


def _change_of(files: Sequence[str]) -> str:
    """Returns the criterion that something declared really changed; where tests are declared, something of those."""
    tests = [path for path in files if languages.role(path) == "test"]
    folders = {path.partition("/")[0] for path in tests}
    if len(folders) == 1 and all(languages.role(f"{folder}/x") == "test" for folder in folders):
        subject = f"{folders.pop()}/"
    else:
        subject = tests[0] if tests else ""
    criterion = acceptance.read(f"diff:{subject}")
    fits = isinstance(criterion, acceptance.Criterion) and criterion.kind == "diff"
    return f"diff:{subject}" if subject and fits else "diff"
