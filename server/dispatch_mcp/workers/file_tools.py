"""What a model may do to files when this server talks to it: look below one folder, and change what is its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dispatch_mcp import errors, model
from dispatch_mcp.model import work_order
from dispatch_mcp.text import json_types, path_globs, startup_paths
from dispatch_mcp.workers import safe_look, safe_write

MAX_LISTED: Final = 400
MAX_FOUND: Final = 100
MAX_CHARS: Final = 40_000
"""Characters of one result; a model's context is the user's money."""

_LINE: Final = 300


@dataclass(frozen=True, slots=True)
class FileAccess:
    """How files are looked at, handed in: the paths worth knowing below a root, and the text of one of them.

    `text` raises DispatchError for what may not be read.
    """

    files: Callable[[Path], Sequence[str]]
    text: Callable[[Path, str], str]


def _tool(name: str, description: str, mandatory: Collection[str], **properties: str) -> dict[str, model.Json]:
    return {
        "name": name,
        "description": description,
        "input_schema": {
            "type": "object",
            "properties": {
                key: {"type": "integer" if text.startswith("# ") else "string", "description": text.removeprefix("# ")}
                for key, text in properties.items()
            },
            "required": list(mandatory),
            "additionalProperties": False,
        },
    }


_LIST: Final = _tool("list_files", "Lists files of the project.", (), glob="such as src/**/*.py; all files without it")
_SEARCH: Final = _tool(
    "search_files",
    "Finds lines that contain a text; upper and lower case are the same.",
    ("text",),
    text="what to look for, word for word",
    glob="only in files that match, such as *.py",
)
_READ: Final = _tool(
    "read_file",
    "Reads a file with line numbers.",
    ("path",),
    path="relative to the working directory",
    first_line="# from this line on, 1 by default",
    last_line="# up to this line",
)
_WRITE: Final = _tool(
    "write_file", "Writes a whole file.", ("path", "text"), path="relative to the working directory", text="its text"
)
_EDIT: Final = _tool(
    "edit_file",
    "Replaces one passage of a file; the passage must occur exactly once.",
    ("path", "old", "new"),
    path="relative to the working directory",
    old="the passage as it is, with its blanks",
    new="what stands there afterwards",
)
_DELETE: Final = _tool("delete_file", "Deletes a file.", ("path",), path="relative to the working directory")

_BY_RIGHT: Final[Mapping[str, tuple[dict[str, model.Json], ...]]] = {
    "Glob": (_LIST,),
    "Grep": (_SEARCH,),
    "Read": (_READ,),
    "Edit": (_EDIT,),
    "Write": (_WRITE, _DELETE),
}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one attempt. `rights` are names of `runs.tool_permissions`, `own_files` the files it may change."""

    root: Path
    rights: tuple[str, ...]
    access: FileAccess
    own_files: tuple[str, ...] = ()

    @classmethod
    def of(cls, work: work_order.WorkOrder, rights: tuple[str, ...], access: FileAccess) -> Toolbox:
        """Returns the tools of an order; paths that it declares are relative to the workspace."""
        files = tuple(path_globs.normalise(path, work.workspace) for path in work.task.files)
        return cls(Path(work.cwd), rights, access, files)

    def definitions(self) -> list[dict[str, model.Json]]:
        """Returns the tools as a request names them."""
        return [tool for right in _BY_RIGHT if right in self.rights for tool in _BY_RIGHT[right]]

    async def use(self, name: str, arguments: model.Json) -> tuple[str, bool]:
        """Returns what a call gives, and whether it worked; never raises for what a model asks."""
        names = {str(tool["name"]) for tool in self.definitions()}
        if name not in names:
            return f"There is no tool {name[:80]!r} here. There are: {', '.join(sorted(names))}.", False
        if not json_types.is_object(arguments):
            return "The input is no object.", False
        try:
            text = await safe_look.in_thread(lambda stop: self._call(name, _Input(arguments), stop))
        except errors.DispatchError as refusal:
            return str(refusal), False
        except OSError as error:
            return f"That failed: {error.strerror}.", False
        return _cut(text), True

    def _call(self, name: str, arguments: _Input, stop: threading.Event) -> str:
        match name:
            case "list_files":
                return self._list(arguments.text("glob", ""))
            case "search_files":
                return self._search(arguments.text("text"), arguments.text("glob", ""), stop)
            case "read_file":
                return self._read(arguments.text("path"), arguments.number("first_line"), arguments.number("last_line"))
            case "write_file":
                return self._write(arguments.text("path"), arguments.text("text"))
            case "edit_file":
                return self._edit(arguments.text("path"), arguments.text("old"), arguments.text("new"))
            case _:
                path = self._own(arguments.text("path"))
                safe_write.delete(self.root, path)
                return f"Deleted {path}."

    def _list(self, glob: str) -> str:
        paths = self._matching(glob)
        more = f"\n… and {len(paths) - MAX_LISTED} more; narrow the glob" if len(paths) > MAX_LISTED else ""
        return "\n".join(paths[:MAX_LISTED]) + more if paths else "No file matches."

    def _matching(self, glob: str) -> list[str]:
        files = self.access.files(self.root)
        if not glob or glob in {"**", "**/*", "*"}:
            return sorted(files)
        return sorted(path for path in files if path_globs.selects(glob.removeprefix("./"), path))

    def _search(self, text: str, glob: str, stop: threading.Event) -> str:
        lines: list[str] = []
        for line in self._lines_with(text.casefold(), glob, stop):
            if len(lines) == MAX_FOUND:
                return "\n".join([*lines, "… and more; narrow the search"])
            lines.append(line)
        return "\n".join(lines) or "Nothing was found."

    def _lines_with(self, text: str, glob: str, stop: threading.Event) -> Iterator[str]:
        for path in self._matching(glob) if text else ():
            if stop.is_set():
                return
            try:
                content = self.access.text(self.root, path)
            except errors.DispatchError:
                continue
            for number, line in enumerate(content.splitlines(), 1):
                if text in line.casefold():
                    yield f"{path}:{number}: {line.strip()[:_LINE]}"

    def _read(self, path: str, first: int | None, last: int | None) -> str:
        lines = self.access.text(self.root, _relative(self.root, path)).splitlines()
        start, end = max(1, first or 1), min(len(lines), last or len(lines))
        extract = "\n".join(f"{number}\t{lines[number - 1]}" for number in range(start, end + 1))
        return extract or f"The file has {len(lines)} lines."

    def _write(self, path: str, text: str) -> str:
        path = self._own(path)
        safe_write.write(self.root, path, text)
        return f"Wrote {path}, {len(text.splitlines())} lines."

    def _edit(self, path: str, old: str, new: str) -> str:
        path = self._own(path)
        before = self.access.text(self.root, path)
        if "\r\n" in before and "\r" not in old:
            old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
        times = before.count(old) if old else 0
        if times != 1:
            raise errors.InputError(f"The passage occurs {times} times in {path!r}; it must occur exactly once.")
        safe_write.write(self.root, path, before.replace(old, new))
        return f"Changed {path}."

    def _own(self, path: str) -> str:
        """Returns a path that this attempt may change. Raises NotAllowed."""
        path = _relative(self.root, path)
        if self.own_files and not any(path_globs.touch(pattern, path) for pattern in self.own_files):
            raise errors.NotAllowed(
                f"{path[:120]!r} is none of the files that this task may change: {', '.join(self.own_files)}.",
                hint="Say in open_questions what would have to change there.",
            )
        if startup_paths.starts_by_itself(path) and path not in self.own_files:
            raise errors.NotAllowed(
                f"{path[:120]!r} is read or run by other programs by themselves; a task changes it only when its files "
                "name exactly that path.",
                hint="Say in open_questions what would have to change there.",
            )
        return path


@dataclass(frozen=True, slots=True)
class _Input:
    """What a model sent, read strictly."""

    fields: Mapping[str, model.Json]

    def text(self, key: str, otherwise: str | None = None) -> str:
        value = self.fields.get(key, otherwise)
        if not isinstance(value, str):
            raise errors.InputError(f"{key!r} must be a string.")
        return value

    def number(self, key: str) -> int | None:
        value = self.fields.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise errors.InputError(f"{key!r} must be a whole number.")
        return value


def _relative(root: Path, path: str) -> str:
    """Returns a path as the tools take it: models like to write the whole one, or `./`."""
    return path.removeprefix(f"{root}/").removeprefix("./")


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return f"{text[:MAX_CHARS]}\n… {len(text) - MAX_CHARS} characters left out; ask for less at a time"
