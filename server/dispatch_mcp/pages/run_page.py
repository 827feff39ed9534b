"""Joins the page of a run: markup, style and script of our own, and its data, in one document without a network."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import jinja2
import markupsafe

from dispatch_mcp import model

Source = Literal["file", "live", "app"]
"""Where the page has its data from: itself, the server that it came from, or the host that shows it as an app."""

ASSETS: Final = Path(__file__).parent / "assets"
TEMPLATE: Final = "run.html.j2"
STYLE: Final = "run.css"
SCRIPTS: Final = ("dom.js", "state.js", "lists.js", "graph.js", "timeline.js", "sections.js", "page.js")
LIMITS_TEMPLATE: Final = "limits.html.j2"
LIMITS_SCRIPTS: Final = ("dom.js", "limits.js")
MORE: Final[dict[Source, tuple[str, ...]]] = {
    "file": (),
    "live": ("follow.js", "live.js"),
    "app": ("follow.js", "app.js"),
}

_CONNECT: Final[dict[Source, str]] = {"file": "", "live": "; connect-src 'self'", "app": ""}

# Blanks that mean nothing. In a style sheet, one before a colon does; in a script, those beside a sign can.
_STYLE_BLANKS: Final = re.compile(r"(?:(?<!\s)\s++)?([{};,>])\s*+|(?<=:)\s++")
_SCRIPT_BLANKS: Final = re.compile(r" ?(=>|[=!]==|[+-]=|&&|\|\||[=<>?:,;{}()*]) ?|(?<=[\w)\]]) ([+/-]) (?=[\w(])")
_ONE_ARGUMENT: Final = re.compile(r"(?<![\w)\]])\((\w+)\)(?==>)")
_OPEN_LINES: Final = re.compile(r"(?<=[{};,(\[])\n")
_TEXTS: Final = re.compile(r"(\"[^\"]*\"|`[^`]*`)")

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ASSETS),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Parts(NamedTuple):
    """What the page carries inline, and the policy that lets nothing else run, load or leave."""

    style: str
    script: str
    policy: str


@functools.cache
def parts(source: Source) -> Parts:
    """Returns style, script and policy of a page with this source of data."""
    return _parts((*SCRIPTS[:-1], *MORE[source], SCRIPTS[-1]), _CONNECT[source])


@functools.cache
def limits_page() -> tuple[str, str]:
    """Returns the page on which a person changes what a run may use, and its policy."""
    page = _parts(LIMITS_SCRIPTS, _CONNECT["live"])
    return _rendered(LIMITS_TEMPLATE, page), page.policy


def _parts(names: Iterable[str], connect: str) -> Parts:
    style = _STYLE_BLANKS.sub(lambda match: match[1] or "", "\n".join(_lines(STYLE))).replace(";}", "}")
    lines = joined(squeezed(line) for name in names for line in _lines(name))
    body = _OPEN_LINES.sub("", "\n".join(lines)).replace(";}", "}")
    script = f'"use strict";\n(() => {{\n{body}\n}})();\n'
    rules = f"script-src {_digest(script)}; style-src {_digest(style)}; base-uri 'none'; form-action 'none'"
    return Parts(style, script, f"default-src 'none'; {rules}{connect}")


def _lines(name: str) -> Iterator[str]:
    """Yields the lines of a file of ours without indents, and without those that are comments."""
    for line in (ASSETS / name).read_text("utf-8").splitlines():
        text = line.strip()
        if text and not text.startswith("//"):
            yield text


def squeezed(line: str) -> str:
    """Returns a line of script without blanks around operators; one with a template in a template stays as it is."""
    texts = _TEXTS.split(line)  # every other one is a string or a template
    if any("`" in text for text in texts[::2]) or any(text.count("{") != text.count("}") for text in texts[1::2]):
        return line
    texts[::2] = [_SCRIPT_BLANKS.sub(lambda match: match[1] or match[2], text) for text in texts[::2]]
    texts[::2] = [_ONE_ARGUMENT.sub(r"\1", text) for text in texts[::2]]
    return "".join(texts)


def joined(lines: Iterable[str]) -> list[str]:
    """Returns lines of script in which declarations that follow each other, a line each, are one."""
    result: list[str] = []
    before = ""
    for line in lines:
        word = line.split(" ", 1)[0]
        keyword = word if word in ("const", "let") and _is_statement(line) else ""
        if keyword and keyword == before:
            result[-1] = f"{result[-1][:-1]},{line[len(word) + 1 :]}"
        else:
            result.append(line)
        before = keyword
    return result


def _is_statement(line: str) -> bool:
    """Returns whether a line is one whole statement; what looks like two because of a text counts as two."""
    depths = list(itertools.accumulate((sign in "([{") - (sign in ")]}") for sign in line))
    ends = [place for place, sign in enumerate(line) if sign == ";" and not depths[place]]
    return ends == [len(line) - 1]


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def html(document: model.Json, source: Source = "file", *, title: str = "") -> str:
    """Returns the page with a run's data in it, None for one that fetches it.

    The data is text for every parser that reads the page: it can end no element and begin none.
    """
    data = markupsafe.Markup(as_data(document))  # noqa: S704  # escaped below
    return _rendered(TEMPLATE, parts(source), title=title or "dispatch-mcp", source=source, data=data)


def _rendered(template: str, page: Parts, **values: str) -> str:
    return _ENVIRONMENT.get_template(template).render(
        policy=page.policy,
        style=markupsafe.Markup(page.style),  # noqa: S704  # files of ours
        script=markupsafe.Markup(page.script),  # noqa: S704  # files of ours
        **values,
    )


def as_data(document: model.Json) -> str:
    """Returns JSON that is safe inside a script element: in ASCII, without the characters that HTML reads."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
