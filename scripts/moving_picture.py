"""A recording of a terminal as an SVG that plays by itself and loads nothing.

Each piece of text stands in it once, with the times at which it is seen: what stays is not drawn again for each frame.
Who wants nothing to move, or has a viewer that plays nothing, sees the last frame.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import rich.console

HOLD_S: Final = 12.0
"""Seconds for which the last frame stays before the recording begins anew."""

_AROUND: Final = ("chrome", "width", "height", "terminal_x", "terminal_y", "char_height")
_PARTS: Final[Sequence[str]] = ("styles", "backgrounds", "matrix", *_AROUND)
_BREAK: Final = "\x1e"
_ID: Final = "frame"
_STYLE = re.compile(rf"\.({_ID}-r\d+) \{{([^}}]*)\}}")
_CLASS = re.compile(rf'class="({_ID}-r\d+)"')
_CLIP = re.compile(rf' clip-path="url\(#{_ID}-line-\d+\)"')
_ELEMENT = re.compile(r"<(?:text|rect)\b.*?(?:</text>|/>)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Frame:
    """What was seen from a second on: pieces of text, each with how it looks, and the parts of the picture around."""

    at_s: float
    pieces: tuple[str, ...]
    parts: dict[str, str]


@dataclass(slots=True)
class Recording:
    """The frames of a terminal of so many columns, called `title`."""

    columns: int
    title: str
    frames: list[Frame] = field(default_factory=list[Frame])

    def keep(self, at_s: float, *seen: rich.console.RenderableType) -> None:
        """Keeps what is seen from a second on, unless that is what was seen before."""
        console = rich.console.Console(
            record=True, width=self.columns, file=io.StringIO(), force_terminal=True, highlight=False, markup=False
        )
        console.print(*seen, sep="\n")
        self.keep_console(at_s, console)

    def keep_console(self, at_s: float, console: rich.console.Console) -> None:
        """Keeps what a recording console has printed as what is seen from a second on."""
        form = _BREAK.join(f"{{{name}}}" for name in _PARTS)
        text = console.export_svg(title=self.title, code_format=form, unique_id=_ID, clear=False)
        parts: dict[str, str] = dict(zip(_PARTS, text.split(_BREAK), strict=True))
        looks = dict(_STYLE.findall(parts["styles"]))
        pieces = tuple(_plain(piece, looks) for piece in _ELEMENT.findall(parts["backgrounds"] + parts["matrix"]))
        if not self.frames or self.frames[-1].pieces != pieces:
            self.frames.append(Frame(at_s, pieces, parts))

    def svg(self) -> str:
        """Returns the picture."""
        last = self.frames[-1]
        groups: dict[tuple[int, ...], list[str]] = {}
        for piece in dict.fromkeys(piece for frame in self.frames for piece in frame.pieces):
            places = tuple(place for place, frame in enumerate(self.frames) if piece in frame.pieces)
            groups.setdefault(places, []).append(piece)
        rules = [_rules(number, places, self.frames) for number, places in enumerate(groups)]
        bodies = [f'<g class="g{number}">{"".join(pieces)}</g>' for number, pieces in enumerate(groups.values())]
        return _document(last.parts, "\n".join(rules), "\n".join(bodies))


def _plain(piece: str, looks: dict[str, str]) -> str:
    """Returns a piece with its look written out: each frame numbers its looks by itself."""
    look = _CLASS.sub(lambda match: f'style="{looks.get(match[1], "").strip()}"', piece)
    return _CLIP.sub("", look)


def _rules(number: int, places: Sequence[int], frames: Sequence[Frame]) -> str:
    """Returns when a group of pieces is seen; without animation that is whether the last frame has it."""
    if len(places) == len(frames):
        return ""
    length = frames[-1].at_s + HOLD_S
    steps = "".join(
        f"{100 * at_s / length:.2f}%{{visibility:{'visible' if is_seen else 'hidden'}}}"
        for at_s, is_seen in _changes(places, frames)
    )
    rest = "visible" if places[-1] == len(frames) - 1 else "hidden"
    return (
        f".g{number}{{visibility:{rest};animation:k{number} {length:.1f}s step-end infinite}}"
        f"@keyframes k{number}{{{steps}}}"
    )


def _changes(places: Sequence[int], frames: Sequence[Frame]) -> Iterator[tuple[float, bool]]:
    """Yields the seconds at which a group begins or ceases to be seen."""
    before: bool | None = None
    for place, frame in enumerate(frames):
        is_seen = place in places
        if is_seen is not before:
            yield (frame.at_s if place else 0.0), is_seen
        before = is_seen


def _document(parts: dict[str, str], rules: str, body: str) -> str:
    return f"""<svg class="rich-terminal" viewBox="0 0 {parts["width"]} {parts["height"]}" xmlns="http://www.w3.org/2000/svg">
<style>
.matrix {{ font-family: "Fira Code", ui-monospace, monospace; font-size: {parts["char_height"]}px }}
.{_ID}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif }}
{rules}
@media (prefers-reduced-motion: reduce) {{ g {{ animation: none !important }} }}
</style>
{parts["chrome"]}
<g class="matrix" transform="translate({parts["terminal_x"]}, {parts["terminal_y"]})">
{body}
</g>
</svg>
"""
