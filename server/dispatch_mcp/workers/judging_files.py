"""Which files decide what a command checks: what it starts, what that starts or reads, and what it reads by itself.

Names are followed from the words of the command through the texts of the files that they name: scripts, recipes, tests,
what lies beside them. Code under test is no judge: tests are followed into what lies among tests, recipes into scripts
and what they include, settings into plugins, only scripts into data, and nothing into documentation, or through the
files that the task itself declares. Beside that come the
settings of runners where they look for them, also those that git ignores, and modules that stand in front of one of
Python's or of the runner. What a program computes a name of is not seen.
"""

from __future__ import annotations

import os
import posixpath
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.git import merge_rules
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import file_states, languages, path_globs
from dispatch_mcp.text.reading import command_words, runner_endings
from dispatch_mcp.workers import file_words, safe_look

MAX_FILES: Final = 200
"""Files that decide one command; what is named beyond is not looked at."""
MAX_BYTES: Final = 256 << 10
"""What is read of one of them."""
MAX_IN_FOLDER: Final = 64

_MODULES: Final = ("", ".py", "/__init__.py", "/__main__.py")
_ENDS: Final[Mapping[str, Sequence[str]]] = {
    "python": _MODULES,
    "script": ("", ".js", ".mjs", ".cjs", ".ts", "/index.js"),
    "ruby": ("", ".rb"),
    "": ("", ".py"),
}
"""What is left out behind a name, by the language of the file that it stands in."""
_SETTINGS: Final = (".toml", ".cfg", ".ini")
_PASSING: Final = (".db", ".sqlite", ".sqlite3", ".log", ".lock", ".pid", ".tmp", ".pyc")
"""Files that change whenever something runs."""
_STARTED: Final = frozenset({"python", "script", "ruby", "php", "shell", ""})
"""Languages of files that recipes start; others they build."""
_RUNNERS: Final = frozenset({"pytest", "_pytest", "pluggy", "iniconfig", "py", "tox", "nox", "coverage", "hypothesis"})
_TESTED_BY_PYTHON: Final = frozenset({"pytest", "py.test", "tox", "nox", "unittest"})
_RECIPES: Final[Mapping[str, Collection[str]]] = {
    "make": ("makefile", "Makefile", "GNUmakefile"),
    "npm": ("package.json",),
    "just": ("justfile", "Justfile"),
    "rake": ("Rakefile",),
    "pytest": ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", "conftest.py", "noxfile.py"),
}
_NODE: Final = frozenset({"npm", "npx", "yarn", "pnpm", "bun"})
_VENVS: Final = (".venv", "venv", "env")


class Judges(NamedTuple):
    """The files that decide what a command checks, each with its state, and the names that they name others by.

    `collects` is whether it is a runner that finds its tests itself, and loads what lies among them.
    """

    states: Mapping[str, str] = {}
    names: frozenset[str] = frozenset()
    collects: bool = False


def look(
    root: Path, argv: Sequence[str], subjects: Collection[str], extras: Iterable[str], stop: threading.Event
) -> Judges:
    """Returns what decides a command now. `subjects` are the task's files, normalised; `extras` count whatever happens.

    Raises:
        Unmeasured: `stop` was set.
    """
    walk = _Walk(root, subjects)
    folders = _folders(walk, argv)
    starts = dict.fromkeys((*_started(walk, argv, folders), *_recipes(walk, argv, folders)))
    paths = {*extras, *starts, *_startup(root), *(path for folder in folders for path in walk.standing_before(folder))}
    queue = deque(starts)
    names: set[str] = set()
    judges: dict[str, None] = {}
    while queue and len(judges) < MAX_FILES:
        if stop.is_set():
            raise safe_look.Unmeasured("looking for what decides the command took too long")
        path = queue.popleft()
        if path in judges:
            continue
        judges[path] = None
        if not walk.is_subject(path):
            text = walk.text(path)
            is_made = _program(argv) == "make" and path.rpartition("/")[2] in _RECIPES["make"]
            words = file_words.words(file_words.for_goals(text, argv[1:]) if is_made else text, path)
            is_open = languages.role(path) != "test" and not path.endswith(_SETTINGS)
            names |= {word.rpartition("/")[2] for word in words} if is_open else set()
            queue.extend(walk.named(path, words))
    paths |= {path for path in judges if not walk.is_subject(path)}
    states = {path: safe_look.digest(root, path) for path in sorted(paths)}
    return Judges(states, frozenset(names), _program(argv) == "pytest")


def changed_judges(
    root: Path, before: Mapping[str, str] | None, judges: Judges, edits: Collection[str], subjects: Collection[str]
) -> list[str]:
    """Returns what has changed of what decides a command. `before` are states from before the work, None if unknown.

    Of the files that are known to have changed, `edits`, those count too whose name stands in a judge, in any folder.
    """
    paths = {path for path in edits if path in judges.states or _is_named(path, judges, subjects)}
    paths |= {path for path in edits if judges.collects and _is_loaded_first(path) and not _is_of(path, subjects)}
    if before is None:
        return sorted(paths)
    paths |= {path for path, state in judges.states.items() if not file_states.same(before.get(path, ""), state)}
    return sorted(paths | {path for path in before.keys() - judges.states.keys() if not safe_look.digest(root, path)})


def _is_named(path: str, judges: Judges, subjects: Collection[str]) -> bool:
    if languages.is_recipe(path):
        return True
    name = path.rpartition("/")[2]
    return not _is_of(path, subjects) and "." in name and name in judges.names and _follows("Makefile", path)


def _is_of(path: str, subjects: Collection[str]) -> bool:
    return any(path_globs.touch(subject, path) for subject in subjects)


def _is_loaded_first(path: str) -> bool:
    """Returns whether a file lies among tests, is none, and is loaded before them, or in place of what they import."""
    name = path.rpartition("/")[2].removesuffix(".py")
    is_tests = name.startswith("test_") or name.endswith("_test")
    return languages.language(path) == "python" and languages.role(path) == "test" and not is_tests


class _Walk:
    """Looks names up below a folder; what a folder holds is read once."""

    def __init__(self, root: Path, subjects: Collection[str]) -> None:
        self._root = root
        self._subjects = subjects
        self._entries: dict[str, dict[str, bool]] = {}
        self._stems: dict[str, frozenset[str]] = {}

    def is_subject(self, path: str) -> bool:
        """Returns whether the task declares a file."""
        return _is_of(path, self._subjects)

    def entries(self, folder: str) -> dict[str, bool]:
        """Returns the names in a folder, each with whether it is a folder; nothing outside of the workspace."""
        if folder not in self._entries:
            names: dict[str, bool] = {}
            if safe_paths.holds(self._root, folder or "."):
                try:
                    with os.scandir(self._root / folder) as entries:
                        names = {entry.name: entry.is_dir() for entry in entries}
                except OSError:
                    pass
            self._entries[folder] = names
        return self._entries[folder]

    def kind(self, path: str) -> bool | None:
        """Returns whether a path is a folder; None where there is nothing."""
        folder, _, name = path.rpartition("/")
        return self.entries(folder).get(name) if name else True

    def text(self, path: str) -> str:
        """Returns the beginning of a file as text; nothing of one that leads outside or is none."""
        if not safe_paths.holds(self._root, path):
            return ""
        try:
            with open(os.open(self._root / path, safe_paths.READ), "rb") as file:  # noqa: PTH123 - open already
                data = file.read(MAX_BYTES)
        except OSError:
            return ""
        return "" if b"\0" in data else data.decode("utf-8", "replace")

    def named(self, source: str, words: Iterable[str]) -> Iterator[str]:
        """Yields the files that words of a file name, as far as they are judges too."""
        beside = source.rpartition("/")[0]
        for folder in dict.fromkeys((beside, "")):
            for word in sorted(words):
                spellings = (word, word.rpartition("/")[2]) if folder == beside else (word,)
                for name in dict.fromkeys(spellings):
                    yield from (path for path in self._files(folder, name, source) if _follows(source, path))

    def may_hold(self, folder: str, name: str) -> bool:
        """Returns whether a folder has an entry that begins as a name does: most words are none."""
        if folder not in self._stems:
            self._stems[folder] = frozenset(entry.lstrip(".").partition(".")[0] for entry in self.entries(folder))
        first = name.removeprefix("./").partition("/")[0]
        return first in ("..", "*") or first.lstrip(".").partition(".")[0] in self._stems[folder]

    def _files(self, folder: str, name: str, source: str) -> Iterator[str]:
        if not self.may_hold(folder, name):
            return
        language = languages.language(source)
        ends = _ENDS.get(language, _ENDS[""]) if not languages.is_recipe(source) or language else ("", ".py")
        for spelling in (name, *([name.replace(".", "/")] if language == "python" and "/" not in name else [])):
            for end in ends:
                path = _inside(folder, f"{spelling}{end}")
                if path and self.kind(path) is False:
                    yield path
        head = name[: match.start()].rpartition("/")[0] if (match := path_globs.WILD.search(name)) else name
        place = _inside(folder, head)
        if place and _reads_data(source) and self.kind(place):
            yield from self._data(place)

    def _data(self, folder: str) -> Iterator[str]:
        """Yields what a folder holds besides code: what a check reads there."""
        names = [name for name, is_folder in sorted(self.entries(folder).items()) if not is_folder]
        data = [name for name in names if not languages.language(name) and not name.endswith(_PASSING)]
        yield from (f"{folder}/{name}" for name in data[:MAX_IN_FOLDER])

    def standing_before(self, folder: str) -> Iterator[str]:
        """Yields modules of a folder that is no package which stand in front of those of Python or of a runner."""
        names = self.entries(folder)
        if "__init__.py" in names:
            return
        for name, is_folder in names.items():
            stem = name if is_folder else name.removesuffix(".py")
            if (stem in sys.stdlib_module_names or stem in _RUNNERS) and (is_folder or stem != name):
                path = f"{folder}/{name}" if folder else name
                if not is_folder:
                    yield path
                elif "__init__.py" in self.entries(path):
                    yield f"{path}/__init__.py"


def _follows(source: str, path: str) -> bool:
    """Returns whether what a judge names is a judge too."""
    role, language = languages.role(path), languages.language(path)
    if role == "docs" or merge_rules.is_litter(path) or path_globs.is_of_git(path):
        return False
    if languages.role(source) == "test":
        return role == "test"
    if source.endswith(_SETTINGS):
        return language == "python"
    if languages.is_recipe(source):
        return language in _STARTED and (bool(language) or "." in path.rpartition("/")[2])
    return not path.endswith(_PASSING)


def _reads_data(source: str) -> bool:
    """Returns whether a folder that a judge names is one that it reads from, as far as a name can tell."""
    return not languages.is_recipe(source) and not source.endswith(_SETTINGS)


def _inside(folder: str, name: str) -> str:
    path = f"{folder}/{name}" if folder else name
    path = posixpath.normpath(path) if "./" in path or "//" in path or path.endswith(("/", ".")) else path
    return "" if path.startswith(("/", "..")) or path == "." else path


def _words(argv: Sequence[str]) -> list[str]:
    """Returns the words of a command as paths may stand in them."""
    texts = (part for word in argv for part in ((word, *file_words.words(word, "")) if " " in word else (word,)))
    parts = (part for word in texts for part in (word, *word.partition("=")[2:]))
    return [path_globs.normalise(part.partition("::")[0].lstrip("@")) for part in parts if part]


def _folders(walk: _Walk, argv: Sequence[str]) -> list[str]:
    """Returns where a command works and looks."""
    names = [word for word in _words(argv) if walk.kind(word) is not None]
    places = [name if walk.kind(name) else name.rpartition("/")[0] for name in names]
    tests = [name for name in ("tests", "test") if walk.kind(name)] if _program(argv) == "pytest" else []
    return list(dict.fromkeys(("", *places, *tests)))


def _started(walk: _Walk, argv: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    for word in _words(argv):
        for spelling in dict.fromkeys((word, word.replace(".", "/"))):
            for folder in folders:
                for end in _MODULES:
                    path = _inside(folder, f"{spelling}{end}")
                    if path and walk.kind(path) is False:
                        yield path


def _recipes(walk: _Walk, argv: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    for folder in folders:
        for name in _RECIPES.get(_program(argv), ()):
            path = f"{folder}/{name}" if folder else name
            if walk.kind(path) is False:
                yield path


def _program(argv: Sequence[str]) -> str:
    """Returns which family of runners a command may be of, also behind an interpreter; empty for another."""
    words = command_words.started(argv)
    names = {posixpath.basename(word) for word in words[:4]}
    if names & _TESTED_BY_PYTHON or runner_endings.runner(argv) in _TESTED_BY_PYTHON:
        return "pytest"
    first = posixpath.basename(words[0]) if words else ""
    is_node = first in _NODE or any(posixpath.basename(word) in _NODE for word in argv[: len(argv) - len(words)])
    return "make" if first in ("make", "gmake") else "npm" if is_node else first


def _startup(root: Path) -> Iterator[str]:
    """Yields what Python runs whenever it starts in a virtual environment of the workspace."""
    for venv in _VENVS:
        for pattern in ("*.pth", "sitecustomize.py", "usercustomize.py"):
            for path in sorted(root.glob(f"{venv}/lib/python*/site-packages/{pattern}"))[:MAX_IN_FOLDER]:
                yield path.relative_to(root).as_posix()
