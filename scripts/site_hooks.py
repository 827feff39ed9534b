"""What `mkdocs` does beside its own when it builds the site: links that lead out of docs/, and folders in `nav`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Protocol

REPOSITORY = "https://github.com/dispatch-mcp/dispatch-mcp/blob/main/"
DOCS = Path(__file__).resolve().parents[1] / "docs"
LINK = re.compile(r"(?<=\]\()(\.\./[^)#\s]*)")


class Source(Protocol):
    """The file of a page, by its place below docs/."""

    src_uri: str


class Page(Protocol):
    """A page of the site."""

    file: Source


Entry = str | dict[str, str] | dict[str, list[str]]
"""An entry of `nav`: a page, a page or folder with a title, or pages with one."""


def on_config(config: MutableMapping[str, list[Entry]]) -> MutableMapping[str, list[Entry]]:
    """Puts the pages of a folder, in order of their names, where `nav` names the folder."""
    config["nav"] = [_expanded(entry) for entry in config["nav"]]
    return config


def _expanded(entry: Entry) -> Entry:
    if isinstance(entry, str):
        return entry
    ((title, place),) = entry.items()
    folder = DOCS / str(place)
    if not folder.is_dir():
        return entry
    return {title: sorted(page.relative_to(DOCS).as_posix() for page in folder.glob("*.md"))}


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Returns a page whose links to files outside of docs/ lead to the repository."""
    folder = posixpath.dirname(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(folder, match[1]))
        return REPOSITORY + place.removeprefix("../") if place.startswith("../") else match[1]

    return LINK.sub(led, markdown)
