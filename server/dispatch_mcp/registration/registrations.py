"""Entries in the files of clients: what is there, what a change would make of it, and the change itself."""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatch_mcp import errors, model
from dispatch_mcp.process import private_files
from dispatch_mcp.registration import clients, toml_tables
from dispatch_mcp.text import commented_json, json_types

CONTEXT_LINES = 2


@dataclass(frozen=True, slots=True)
class FileEdit:
    """What a file holds, and what it would hold; `is_new` says that there is no file yet."""

    place: clients.EntryPlace
    before: str
    after: str
    is_new: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return self.before == self.after

    def entry(self) -> Mapping[str, model.Json] | None:
        """Returns the entry as a client would read it after the change; None if there is none."""
        return _entry(self.after, self.place)

    def lines(self) -> Iterator[str]:
        """Yields the change as a unified diff."""
        name = str(self.place.file)
        before, after = self.before.splitlines(), self.after.splitlines()
        yield from difflib.unified_diff(before, after, name, name, n=CONTEXT_LINES, lineterm="")


def present(place: clients.EntryPlace) -> Mapping[str, model.Json] | None:
    """Returns the entry that is there, None if there is none. Raises ConfigError for a file that cannot be read."""
    return _entry(_read(place.file) or "", place)


def addition(place: clients.EntryPlace, entry: Mapping[str, model.Json]) -> FileEdit:
    """Returns the change that registers an entry; fields that somebody added to an earlier one stay.

    Raises:
        ConfigError: the file cannot be read, or not be changed without touching something else.
    """
    text = _read(place.file)
    before = text or ""
    whole = _merged(_entry(before, place) or {}, entry)
    return FileEdit(place, before, _changed(before, place, whole), text is None)


def removal(place: clients.EntryPlace) -> FileEdit:
    """Returns the change that takes the entry out. Raises ConfigError as `addition` does."""
    text = _read(place.file)
    return FileEdit(place, text or "", _changed(text or "", place, None), text is None)


def carry_out(change: FileEdit, backups: Path, *, new_mode: int = 0o600) -> Path | None:
    """Writes the change in one step and returns where the file of before is kept, None if there was none.

    `new_mode` is the mode of a file that was not there; any other keeps its own.

    Raises:
        ConfigError: somebody else has changed the file since it was read, or it cannot be written, or its backup.
    """
    file = Path(os.path.realpath(change.place.file))
    obstacle = private_files.obstacle(file.parent)
    if obstacle:
        raise errors.ConfigError(f"{str(file)!r} cannot be written: {obstacle}.", hint="Nothing was written.")
    try:
        backup = None if change.is_new else _keep(change.before, file, backups)
    except OSError as trouble:
        raise _unwritten(f"A copy of {str(file)!r} in {str(backups)!r}", trouble) from None
    try:
        _replace(file, change, new_mode)
    except OSError as trouble:
        raise _unwritten(repr(str(file)), trouble) from None
    return backup


def _unwritten(target: str, trouble: OSError) -> errors.ConfigError:
    why = trouble.strerror or trouble
    return errors.ConfigError(f"{target} cannot be written: {why}.", hint="Nothing was changed.")


def _replace(file: Path, change: FileEdit, new_mode: int) -> None:
    """Gives the file its new text in one step, if it still has the text that the change was made from."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    mode = new_mode if change.is_new else file.stat().st_mode & 0o777
    try:
        _write(new, change.after, mode)
        if (_read(file) or "") != change.before:
            raise errors.ConfigError(f"{str(file)!r} has changed meanwhile.", hint="Nothing was written; try again.")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _keep(text: str, file: Path, backups: Path) -> Path:
    private_files.make_folder(backups)
    backup = backups / f"{secrets.token_hex(4)}-{file.name.lstrip('.')}"
    try:
        _write(backup, text, 0o600)
    except OSError:
        backup.unlink(missing_ok=True)
        raise
    return backup


def _write(path: Path, text: str, mode: int) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(number, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(number)
    path.chmod(mode)


def _read(file: Path) -> str | None:
    """Returns what a file holds, None if there is none."""
    try:
        return file.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as trouble:
        raise errors.ConfigError(
            f"{str(file)!r} cannot be read: {trouble.strerror}.", hint="Check its rights."
        ) from None
    except UnicodeDecodeError:
        raise errors.ConfigError(f"{str(file)!r} is not UTF-8.", hint="Save it as UTF-8 first.") from None


def _entry(text: str, place: clients.EntryPlace) -> Mapping[str, model.Json] | None:
    value: model.Json = _parsed(text, place)
    for key in place.keys:
        value = value.get(key) if json_types.is_object(value) else None
    return value if json_types.is_object(value) else None


def _parsed(text: str, place: clients.EntryPlace) -> model.Json:
    try:
        return toml_tables.parse(text) if place.style == "toml" else commented_json.parse(text)
    except (toml_tables.UnreadableToml, commented_json.Unreadable) as wrong:
        raise _unreadable(place, wrong) from None


def _changed(text: str, place: clients.EntryPlace, entry: Mapping[str, model.Json] | None) -> str:
    """Returns the text with the entry, or without one; the same if that is what it holds."""
    if _entry(text, place) == entry:
        return text
    form = toml_tables if place.style == "toml" else commented_json
    try:
        after = _taken_out(form.take_out, text, place) if entry is None else form.put(text, place.keys, entry)
    except (toml_tables.UnreadableToml, commented_json.Unreadable) as wrong:
        raise _unreadable(place, wrong) from None
    _check(text, after, place, entry)
    return after


def _taken_out(take_out: Callable[[str, Sequence[str]], str], text: str, place: clients.EntryPlace) -> str:
    """Returns the text without the entry, and without the object of servers if it holds nothing else.

    The last object of a file stays, empty: Claude Code calls a `.mcp.json` without one wrong.
    """
    after, above = take_out(text, place.keys), place.keys[:-1]
    value: model.Json = _parsed(after, place)
    for key in above:
        value = value.get(key) if json_types.is_object(value) else None
    if not above or value != {}:
        return after
    without = take_out(after, above)
    return after if place.style == "json" and _parsed(without, place) == {} else without


def _check(before: str, after: str, place: clients.EntryPlace, entry: Mapping[str, model.Json] | None) -> None:
    """Makes sure that nothing but the entry has changed."""
    same = _without(_parsed(before, place), place.keys) == _without(_parsed(after, place), place.keys)
    if not same or _entry(after, place) != entry:
        raise _unreadable(place, ValueError("it cannot be changed without touching something else"))


def _without(value: model.Json, keys: Sequence[str]) -> model.Json:
    """Returns a value without what is under the keys, and without what is empty then."""
    if not json_types.is_object(value) or keys[0] not in value:
        return value
    inner = _without(value[keys[0]], keys[1:]) if len(keys) > 1 else None
    rest = {key: part for key, part in value.items() if key != keys[0]}
    return {**rest, keys[0]: inner} if inner else rest


def _unreadable(place: clients.EntryPlace, wrong: Exception) -> errors.ConfigError:
    return errors.ConfigError(
        f"{str(place.file)!r} cannot be changed: {wrong}.", hint="Nothing was written. Correct the file and try again."
    )


def _merged(old: Mapping[str, model.Json], new: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns the new entry with those fields and variables of the old one that it does not set."""
    entry = {**old, **new}
    for key in ("env", "environment"):
        if json_types.is_object(old.get(key)):
            entry[key] = {**old[key], **new.get(key, {})}
    return entry
