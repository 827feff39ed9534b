"""Which files a text names, as people and tools write them, and which files of a workspace are meant."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from dispatch_mcp.text import languages, path_globs
from dispatch_mcp.text.reading import excerpts

MAX_MENTIONS: Final = 200
"""Names of one text that are looked up; most of them are ordinary words with a full stop."""
MOST_ALIKE: Final = 3
"""Files of one name up to which all of them are meant; of more, the ranking has to say which."""

_LONGEST = 250
# "a quoted name", `one in code`, and where a link of Markdown leads.
_QUOTED = re.compile(
    r"(?<!`)`++([^`\n]{1,250})`++|\"([^\"\n]{1,250})\"|(?<!\w)'([^'\n]{1,250})'(?!\w)|\]\(([^()\s]{1,250})\)"
)
_SPACED = re.compile(r"\S{1,250}")  # keeps app/[id]/(shop)/page.tsx together
_BARE = re.compile(r"[^\s\"'`<>|()\[\]{},;*?]{1,250}")
_PLAIN = re.compile(r"[\w.@+~/\\-]{1,250}", re.ASCII)  # a name between letters of a script without spaces
_AROUND = "\"'`<>|,;:!?*()[]{}"
# docs/faq.md#L3-9, cart.py:12, cart.py:12:5
_PLACE = re.compile(
    r"(?P<path>[^#:]+)(?:#L?(?P<from>\d{1,7})(?:-L?(?P<to>\d{1,7}))?|:(?P<line>\d{1,7})(?:[-:]\d{1,7})?)"
)
# cart.py#Cart.total, test_cart.py::test_total[1-2]
_SYMBOL = re.compile(r"(?P<path>[^#:]+)(?:#|::)(?P<symbol>[^\W\d][\w.:]*(?:\[[^\]]*\])?)(?:\(\))?")
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_CAPITAL = re.compile(r"[A-Z]")
_EVERYDAY: Final = frozenset({"readme", "changelog"})
"""Stems of documents that small letters mean too; other such stems are ordinary words."""


class Mention(NamedTuple):
    """A name in a text, with `/` between folders; the lines or the definition that stand behind it, 0 or empty."""

    path: str
    first: int = 0
    last: int = 0
    symbol: str = ""


def of(text: str, workspaces: Sequence[str] = ()) -> list[Mention]:
    """Returns what in a text may name a file, each once; most of it need not.

    Absolute paths below one of the `workspaces` become relative to it; those that lead elsewhere are left out.
    """
    mentions: dict[Mention, None] = {}
    for candidate in _candidates(excerpts.FILE_NAMES.of(text)):
        mention = _read(candidate, workspaces)
        if mention is not None:
            mentions[mention] = None
            if len(mentions) == MAX_MENTIONS:
                break
    return list(mentions)


def _candidates(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        yield match[match.lastindex or 0].strip()
    for pattern in (_BARE, _SPACED, _PLAIN):
        for match in pattern.finditer(text):
            yield match[0].lstrip(_AROUND).rstrip(f"{_AROUND}.")


def _read(candidate: str, workspaces: Sequence[str]) -> Mention | None:
    text = candidate.strip().removeprefix("file://").removeprefix("file:").lstrip("@").rstrip("/\\")
    if not text or _ADDRESS.match(text) or text.startswith("//"):
        return None
    place = _PLACE.fullmatch(text)
    symbol = None if place else _SYMBOL.fullmatch(text)
    spelling = (place or symbol or {"path": text})["path"]
    path = inside(spelling, workspaces)
    if not path or not _is_name(path):
        return None
    if place:
        first = int(place["from"] or place["line"])
        return Mention(path, first, int(place["to"] or first))
    return Mention(path, symbol=symbol["symbol"].replace("::", ".").partition("[")[0] if symbol else "")


def inside(path: str, workspaces: Sequence[str]) -> str:
    """Returns a path relative to the workspace that it lies in; empty for one that leads elsewhere."""
    path = unquote(path) if "%" in path else path
    for workspace in workspaces:
        short = path_globs.normalise(path, workspace)
        if short and not short.startswith(("/", "~", "../")) and short != ".." and not _DRIVE.match(short):
            return short
    return "" if workspaces else path_globs.normalise(path)


def below(path: str, workspace: str) -> str:
    """Returns the rest of a path that begins with the last folders of a workspace, as seen from above; else nothing."""
    folders = workspace.rstrip("/").split("/")
    heads = ("/".join((*folders[at:], "")) for at in range(1, len(folders)))
    return next((path.removeprefix(head) for head in heads if path.startswith(head)), "")


def _is_name(path: str) -> bool:
    """Returns whether a word can be the name of a file: with a dot or a folder, or as Makefile and README are."""
    if len(path) > _LONGEST or path.startswith(("/", "~", "../")):
        return False
    return "/" in path or "." in path[:-1] or bool(_CAPITAL.search(path)) or path.lower() in _EVERYDAY


class FileNames:
    """The files of a workspace by the stems of their names, so that each question looks at few of them."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Sorts the paths by their stems, in any case."""
        self._by_stem: dict[str, list[str]] = {}
        for path in paths:
            self._by_stem.setdefault(_stem(path), []).append(path)

    def meant(self, mention: Mention) -> list[str]:
        """Returns which files a mention means: the path itself, else those that end with it, in any case.

        A name without a folder or an ending means a file of the root: `Makefile`, `README`.
        """
        return _means(mention.path, self._by_stem.get(_stem(mention.path), ()))

    def nearest(self, path: str, allows: Callable[[str], bool]) -> str:
        """Returns what `nearest` returns of those files that `allows` lets through."""
        candidates = (other for stem in _stems(_stem(path)) for other in self._by_stem.get(stem, ()))
        return nearest(path, filter(allows, candidates))


def _stem(path: str) -> str:
    """Returns the name of a file in small letters and without its ending."""
    return posixpath.splitext(path.rpartition("/")[2].lower())[0]


def _means(path: str, candidates: Sequence[str]) -> list[str]:
    """Returns which of the files with the stem of a path are meant by it."""
    if path in candidates:
        return [path]
    if "/" not in path and "." not in path[1:]:
        return _of_root(path, candidates)
    ends = [candidate for candidate in candidates if candidate.endswith(f"/{path}")]
    low = path.lower()
    return ends or [candidate for candidate in candidates if f"/{candidate}".lower().endswith(f"/{low}")]


def _of_root(word: str, candidates: Sequence[str]) -> list[str]:
    """Returns the files of the root that a bare word names: exactly, or without the ending of a document."""
    documents = [path for path in candidates if "/" not in path and languages.role(path) == "docs"]
    exact = [path for path in documents if path.rpartition(".")[0] == word]
    return exact or [path for path in documents if word.lower() in _EVERYDAY]


_FAMILIES: Final = (
    frozenset({"md", "markdown", "mdx", "rst", "txt", "adoc", ""}),
    frozenset({"yml", "yaml"}),
    frozenset({"json", "jsonc", "json5"}),
    frozenset({"toml", "cfg", "ini"}),
    frozenset({"js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts"}),
    frozenset({"c", "cc", "cpp", "cxx", "m", "mm"}),
    frozenset({"h", "hh", "hpp", "hxx"}),
    frozenset({"html", "htm", "jinja", "j2"}),
)
_SAME_DOCUMENT: Final = (
    frozenset({"changes", "changelog", "history", "news", "releases", "release_notes", "release-notes"}),
    frozenset({"license", "licence", "copying"}),
)


def nearest(path: str, paths: Iterable[str]) -> str:
    """Returns the file that was meant by one that is not there, empty where it may as well be a new one.

    It has the same name in other letters, with another ending of its kind, or as such documents are also called:
    `CHANGES.rst` means `CHANGES.md`, or else `CHANGELOG.md`. In the same folder, or in the root when nothing is there.
    """
    low = path.lower()
    folder, stem, end = _split(low)
    starts = tuple(f"{folder}{name}" for name in _stems(stem))
    candidates = ((other.lower(), other) for other in paths)
    alike = ((lower, other) for lower, other in candidates if lower.startswith(starts))
    best = min(((_distance(low, (folder, stem, end), lower), other) for lower, other in alike), default=(_FAR, ""))
    return best[1] if best[0] < _FAR else ""


def _stems(stem: str) -> Iterable[str]:
    """Returns the stems of names that mean the same as one of this stem."""
    return next((names for names in _SAME_DOCUMENT if stem in names), (stem,))


_FAR = 9


def _distance(path: str, parts: tuple[str, str, str], other: str) -> int:
    """Returns how far apart two paths in small letters are: 0 for the same, _FAR for different files."""
    if path == other:
        return 0
    (folder, stem, end), (other_folder, other_stem, other_end) = parts, _split(other)
    if folder != other_folder or not any(end in family and other_end in family for family in _FAMILIES):
        return _FAR
    if stem == other_stem:
        return 1
    return 2 if any(stem in names and other_stem in names for names in _SAME_DOCUMENT) else _FAR


def _split(path: str) -> tuple[str, str, str]:
    """Returns the folder of a path with its slash, the name, and the ending without its dot."""
    at = path.rfind("/") + 1
    stem, end = posixpath.splitext(path[at:])
    return path[:at], stem, end.removeprefix(".")
