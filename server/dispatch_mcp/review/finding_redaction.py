"""Secrets taken out of a change line by line, before it is stored or shown (promise S10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dispatch_mcp.text import secret_paths, unified_diff

MARK: Final = "[redacted]"


@dataclass(frozen=True, slots=True)
class CleanDiff:
    """A change without secrets, and how many of its lines held one."""

    diff: unified_diff.Diff
    lines: int = 0


def clean(diff: unified_diff.Diff, clean: Callable[[str], str]) -> CleanDiff:
    """Returns a change whose texts and names went through `clean`; it has as many lines as before."""
    count = 0
    files: list[unified_diff.FileChange] = []
    for change in diff.files:
        hunks: list[unified_diff.Hunk] = []
        for hunk in change.hunks:
            lines = masked(hunk.lines) if is_secret(change.path) else _lines(hunk.lines, clean)
            count += sum(before != after for before, after in zip(hunk.lines, lines, strict=True))
            hunks.append(replace(hunk, lines=lines, section=clean(hunk.section)))
        files.append(replace(change, hunks=tuple(hunks), path=clean(change.path), old_path=clean(change.old_path)))
    return CleanDiff(unified_diff.Diff(tuple(files)), count)


def is_secret(path: str) -> bool:
    """Returns whether the values of a file are never shown (promise S4); its names are, to be objected to."""
    name = path.rpartition("/")[2].lower()
    return secret_paths.secret(path) and not _HARMLESS.search(name)


# Settings of tools that hold a secret only now and then, samples, and public keys of hosts.
_HARMLESS = re.compile(
    r"\.(?:npmrc|yarnrc(?:\.yml)?|terraformrc|gitconfig)$|example|sample|template|\.dist$|known_hosts"
)
_PAIR = re.compile(r"(\s*(?:export\s+)?[\w.\"'-]{1,80}\s*[=:]\s*)\S.*")
_OPENING = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")


def masked(lines: Sequence[str]) -> tuple[str, ...]:
    """Returns lines of a hunk with names and without values."""
    return tuple(line[0] + _value_masked(line[1:]) for line in lines)


def _value_masked(text: str) -> str:
    if not text.strip() or _OPENING.fullmatch(text.strip()):
        return text
    pair = _PAIR.fullmatch(text)
    return pair[1] + MARK if pair else MARK


def _lines(lines: Sequence[str], clean: Callable[[str], str]) -> tuple[str, ...]:
    """Returns the lines of a hunk without secrets, also those that go over several lines of one side."""
    clean_lines = [line[0] + clean(line[1:]) for line in lines]
    for marks in (" +", " -"):
        places = [place for place, line in enumerate(clean_lines) if line[0] in marks]
        whole = [clean_lines[place][1:] for place in places]
        after = clean("\n".join(whole)).split("\n")
        for place, text in zip(places, _aligned(whole, after), strict=True):
            clean_lines[place] = clean_lines[place][0] + text
    return tuple(clean_lines)


def _aligned(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Returns as many lines as before: what a secret of several lines took away reads as a mark in each of them."""
    if len(before) == len(after):
        return list(after)
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    middle = [MARK] * (len(before) - head - tail)
    return [*before[:head], *middle, *before[len(before) - tail :]]
