"""Results cut to what their reader needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dispatch_mcp import model
from dispatch_mcp.runs import receipts
from dispatch_mcp.text import escape

LIMIT = 1_200
"""Default size of a capsule in characters: about 300 tokens of whoever reads it."""


def capsule(result: model.Outcome | model.Handoff, limit: int = LIMIT, *, text: str = "") -> str:
    """Returns the result in at most `limit` characters, most important first; what was left out is counted.

    `text` is the whole answer; it stands in when the result itself says nothing.
    """
    handoff = result if isinstance(result, model.Handoff) else result.handoff
    lines = [*_outcome_lines(result), handoff.completed_work, *_listed(handoff)]
    lines = [line for line in dict.fromkeys(lines) if line.strip()] or [text]
    # No line gets more than half, so that one long sentence does not leave out everything behind it.
    return _fit([escape.one_line(line, limit=max(limit // 2, 1)) for line in lines], limit)


def _outcome_lines(result: model.Outcome | model.Handoff) -> Iterator[str]:
    if isinstance(result, model.Handoff):
        return
    if result.error:
        # What was accepted has no error: what stands there says how its answer was written.
        yield f"{'note' if result.state is model.AttemptState.SUCCEEDED else 'error'}: {result.error}"
    if result.unverified:
        yield "UNVERIFIED: claimed, not proven"
        yield from (f"unproven: {doubt}" for doubt in receipts.doubts(result))
    yield result.summary


def _listed(handoff: model.Handoff) -> Iterator[str]:
    lists = (
        ("question", handoff.open_questions),
        ("decided", handoff.decisions_made),
        ("changed", handoff.files_modified),
        ("learned", handoff.mistakes_learned),
        ("artifact", tuple(item.path or item.name for item in handoff.artifacts)),
    )
    for title, items in lists:
        yield from (f"{title}: {item}" for item in items)


def _fit(lines: Sequence[str], limit: int) -> str:
    whole = "\n".join(lines)
    if len(whole) <= limit:
        return whole
    room = limit - len(f"(+{len(lines)} more)")
    fitting: list[str] = []
    for line in lines:
        if len(line) + 1 <= room:
            fitting.append(line)
            room -= len(line) + 1
    return "\n".join([*fitting, f"(+{len(lines) - len(fitting)} more)"])[:limit]
