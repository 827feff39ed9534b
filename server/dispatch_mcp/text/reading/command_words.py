"""What a command starts, in whatever words it is written: the programs behind wrappers and shells, and their words.

Options, assignments and folders of programs make no difference, nor do versions of an interpreter, which program runs a
script, or what else a line of a shell does. What a script of its own starts, or a word that a shell would compute, is
not seen.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

Call = tuple[str, ...]
"""A program by its bare name, and its words without options."""

MAX_DEPTH: Final = 6
"""How many wrappers and shells are looked behind."""
MAX_SCRIPT: Final = 4_000
"""Characters of a line of a shell that are read."""

_WRAPPERS: Final = frozenset(
    {
        *("env", "nice", "nohup", "time", "timeout", "stdbuf", "setsid", "ionice", "sudo", "doas", "command", "exec"),
        *("xargs", "chronic", "unbuffer", "eatmydata", "caffeinate", "watch", "chrt", "taskset", "flock"),
    }
)
_WITH_VALUE: Final[Mapping[str, frozenset[str]]] = {
    "env": frozenset({"-u", "--unset", "-C", "--chdir"}),
    "exec": frozenset({"-a"}),
    "doas": frozenset({"-u", "-C"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "sudo": frozenset({"-u", "--user", "-g", "--group", "-h", "--host", "-p", "--prompt", "-D", "--chdir"}),
    "time": frozenset({"-f", "--format", "-o", "--output"}),
    "timeout": frozenset({"-s", "--signal"}),
    "xargs": frozenset({"-I", "-a", "--arg-file", "-d", "--delimiter", "-E"}),
}
"""Options of wrappers whose value is the next word; values that are numbers need no entry."""
_LAUNCHERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("uv", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "pipx"), "run"),
    **dict.fromkeys(("conda", "mamba", "micromamba"), "run"),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bundle"), "exec"),
    **dict.fromkeys(("npx", "bunx", "uvx", "xvfb-run"), ""),
}
"""Programs that start another one in a project's environment, with their word for it."""
_OF_LAUNCHERS: Final = frozenset(
    {
        *("-C", "-e", "-n", "-p", "--directory", "--env-file", "--extra", "--group", "--index", "--name", "--package"),
        *("--config-file", "--prefix", "--only-group", "--project", "--python"),
        *("--with", "--with-editable", "--with-requirements"),
    }
)
"""Their options whose value is the next word."""
_SPLIT: Final = frozenset({"-S", "--split-string"})
"""Options of `env` whose value is a whole command."""
_PLACES: Final = frozenset({"flock"})
"""Wrappers whose first word is a file."""
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"})
_OPERATORS: Final = ";&|()<>\n"
_RESERVED: Final = frozenset(
    {"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "esac"}
)
"""Words of a shell's line in front of a command."""
_HEADS: Final = frozenset({"for", "case", "select"})
"""Words of a shell's line that begin what is no command."""
_SILENT: Final = frozenset(
    {
        *("cd", "pushd", "popd", "set", "unset", "export", "source", ".", "echo", "printf", "test", "[", "[[", "true"),
        *("false", ":", "umask", "read", "local", "declare", "readonly", "shift", "shopt", "exit", "return", "wait"),
        *("sleep", "pwd", "break", "continue", "mkdir", "tee", "cat", "head", "tail", "grep", "ls", "which", "type"),
    }
)
"""Programs and builtins of shells that stand in most lines."""
_STEPS: Final = frozenset(
    {
        *("ci", "install", "sync", "init", "add", "commit", "checkout", "switch", "fetch", "pull", "clean", "plan"),
        *("build", "compile", "html", "docs", "test", "tests", "check", "lint", "format", "fmt", "coverage"),
    }
)
"""Verbs of what commonly goes before the work that a line is for."""
_CHECKERS: Final = frozenset({"pytest", "unittest", "tox", "nox", "ruff", "mypy", "eslint", "prettier"})
_BY_GOALS: Final = frozenset({"make", "ninja", "just", "rake", "task"})
"""Programs whose words are the goals; without any they do something else than with some."""
_SCRIPTS: Final = (".py", ".sh", ".bash", ".js", ".mjs", ".cjs", ".ts", ".rb", ".pl")
_INTERPRETERS: Final = frozenset({"python", "node", "nodejs", "ruby", "perl", "tsx", "ts-node", "bun", "deno"})
PYTHON_FLAGS: Final = "[bBdEhiIOPqRsStuvVx?]{0,20}"
"""Options of Python of one letter each that take no value; they may stand together before one that does."""
_NO_FILE: Final = re.compile(rf"-{PYTHON_FLAGS}[cem]")
"""Options of interpreters that run a text or a module instead of a file; the value may be attached."""
_VERSIONED: Final = re.compile(r"(python|pip|pypy)[23]?(?:\.\d{1,3})?")
_SAME: Final[Mapping[str, str]] = {"gmake": "make", "nodejs": "node", "pnpm": "npm", "yarn": "npm", "bun": "npm"}
_RUN: Final = frozenset({"run", "run-script"})
_OWN_SCRIPTS: Final = frozenset({"test", "start", "stop", "restart"})
"""Scripts of a package that npm starts without the word `run`."""
_NO_SCRIPTS: Final = frozenset(
    {*("install", "i", "ci", "add", "remove", "up", "update", "upgrade", "publish", "pack", "link", "audit", "exec")}
)
"""What the programs do themselves that otherwise start a script of a package by its name alone."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w{0,100}=")
_AMOUNT = re.compile(r"\d[\w.]{0,20}")


def started(argv: Sequence[str]) -> Sequence[str]:
    """Returns the command that a command starts behind wrappers, such as `env` and `timeout`: itself without any."""
    words = list(argv)
    for _ in range(MAX_DEPTH):
        rest = _behind(words)
        if rest is None:
            break
        words = rest
    return words


def _behind(words: list[str]) -> list[str] | None:
    """Returns the words behind a wrapper, a launcher or an assignment; None where the first starts nothing else."""
    name = _name(words[0]) if words else ""
    if name in _LAUNCHERS:
        verb, rest = _LAUNCHERS[name], _behind_options(words[1:], _OF_LAUNCHERS)
        if not verb:
            return rest
        return _behind_options(rest[1:], _OF_LAUNCHERS) if rest[:1] == [verb] else None
    if name in _WRAPPERS:
        return _behind_options(words[1:], _WITH_VALUE.get(name, frozenset()))[name in _PLACES :]
    return words[1:] if words and _ASSIGNMENT.match(words[0]) else None


def _behind_options(words: list[str], with_value: Collection[str] = ()) -> list[str]:
    at = 0
    while at < len(words) and _is_of_wrapper(words[at]):
        if words[at] in _SPLIT:
            return [*" ".join(words[at + 1 : at + 2]).split(), *words[at + 2 :]]
        if words[at].startswith("-S") and "-u" in with_value:
            return [*words[at][2:].split(), *words[at + 1 :]]
        at += 2 if words[at] in with_value else 1
    return words[at:]


def calls(argv: Sequence[str], is_harmless: Callable[[Sequence[str]], bool] = lambda _: False) -> list[Call]:
    """Returns the programs that a command starts, also those of a shell's line, but for what `is_harmless`."""
    return [_call(words) for words in _simple_commands(argv) if not is_harmless(words)]


def telling_calls(argv: Sequence[str], is_harmless: Callable[[Sequence[str]], bool]) -> list[Call]:
    """Returns the calls by which a command is known: of a line, those that are no common step and not `is_harmless`.

    Where nothing else is in a line, its common steps are what it is for.
    """
    commands = [(_call(words), words) for words in _simple_commands(argv)]
    loud = [(call, words) for call, words in commands if _name(words[0]) not in _SILENT]
    acting = [call for call, words in loud if not is_harmless(words)]
    ranks = ([call for call in acting if not _is_step(call)], acting, [call for call, _ in loud])
    return next(filter(None, ranks), [call for call, _ in commands])


def does(call: Call, other: Call) -> bool:
    """Returns whether a call is another one, or does that too: the same program with all of its words."""
    if other[:1] == other and not _BY_GOALS.isdisjoint(other):
        return call == other
    return call[:1] == other[:1] and frozenset(other).issubset(call)


def _simple_commands(argv: Sequence[str], depth: int = 0) -> Iterator[Sequence[str]]:
    """Yields what a command starts behind wrappers, and each of what a shell's line does."""
    words = started(argv)
    if not words:
        return
    script = _script(words) if depth < MAX_DEPTH else None
    if script is None:
        yield words
        return
    for part in _commands(script[:MAX_SCRIPT]):
        yield from _simple_commands(part, depth + 1)


def _call(words: Sequence[str]) -> Call:
    """Returns a command without what makes no difference; a script is called by its file, whatever runs it."""
    name = _name(words[0])
    plain = [word for word in words[1:] if not word.startswith("-") and not _ASSIGNMENT.match(word)]
    if (name in _SHELLS or name in ("source", ".")) and plain:
        return (_name(plain[0]), *plain[1:])
    name = match[1] if (match := _VERSIONED.fullmatch(name)) else name
    if name in _INTERPRETERS and (file := _file(words[1:])):
        return (_name(file), *plain[plain.index(file) + 1 :])
    return (_SAME.get(name, name), *(_package_script(name, plain) if _SAME.get(name, name) == "npm" else plain))


def _file(words: Sequence[str]) -> str:
    """Returns the script that an interpreter is to run, or an empty string."""
    for word in words:
        if _NO_FILE.match(word):
            return ""
        if not word.startswith("-") and word.endswith(_SCRIPTS):
            return word
    return ""


def _package_script(name: str, words: Sequence[str]) -> Sequence[str]:
    """Returns the words for a program that starts the scripts of a package, with `run` in front of the script."""
    at = next((at for at, word in enumerate(words) if word in _RUN), None)
    if at is not None:
        return ("run", *words[at + 1 :])
    first = words[0] if words else ""
    is_script = first in _OWN_SCRIPTS or (first and name != "npm" and first not in _NO_SCRIPTS)
    return ("run", *words) if is_script else words


def _is_step(call: Call) -> bool:
    """Returns whether a call is one that commonly goes before what a line is for."""
    name, *words = call
    goals = words[1:2] if name == "npm" and words[:1] == ["run"] else words if name in _BY_GOALS else words[:1]
    module = words[:1] if name == "python" else [name]
    return not _CHECKERS.isdisjoint(module) or (bool(goals) and _STEPS.issuperset(goals))


def _name(program: str) -> str:
    return posixpath.basename(program.replace("\\", "/"))


def _is_of_wrapper(word: str) -> bool:
    return word.startswith("-") or bool(_ASSIGNMENT.match(word) or _AMOUNT.fullmatch(word))


def _script(words: Sequence[str]) -> str | None:
    """Returns the line that a shell is given to run; None for one that runs a file, and for another program."""
    if words[0] == "eval":
        return " ".join(words[1:])
    if _name(words[0]) in _SHELLS:
        for at, word in enumerate(words[1:-1], 1):
            if re.fullmatch(r"-[a-z]{0,9}c", word):
                return words[at + 1]
    return None


def _commands(script: str) -> Iterator[list[str]]:
    """Yields the simple commands of a line of a shell; all of its words as one where its quotes do not match."""
    lexer = shlex.shlex(script.replace("\n", ";"), posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    part = list[str]()
    is_target = False
    try:
        for word in lexer:
            if word.strip(_OPERATORS):
                part += [] if is_target else [word]
                is_target = False
            elif _is_redirection(word):
                part = part[:-1] if part[-1:] and part[-1].isdigit() else part
                is_target = True
            else:
                yield _bare(part)
                part, is_target = [], False
    except ValueError:
        part = script.split()
    yield _bare(part)


def _is_redirection(operator: str) -> bool:
    """Returns whether an operator sends input or output elsewhere, to what the next word names."""
    return operator.strip("<>&|") == "" and operator[:2] != "<(" and bool({"<", ">"}.intersection(operator))


def _bare(part: list[str]) -> list[str]:
    """Returns a simple command without the words of the shell in front of it; nothing of the head of a loop."""
    at = next((at for at, word in enumerate(part) if word not in _RESERVED), len(part))
    return [] if part[at : at + 1] and part[at] in _HEADS else part[at:]
