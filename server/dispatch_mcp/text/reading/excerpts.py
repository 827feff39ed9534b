"""What patterns see of texts that others wrote: the one place that cuts them, with every bound.

Each pattern of the package takes a time that grows with the length of what it reads and no faster, which a test holds
all of them to; so a bound of the length bounds the time, also of a text that is a single line. What is stored, shown or
handed on is not cut here, nor what is searched for secrets: that is read whole.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Excerpt(NamedTuple):
    """How much patterns see of one kind of text: so many characters of its beginning, or of its end.

    `line` is how many of each line; 0 where lines are whole, because JSON often is a single one.
    """

    chars: int
    from_end: bool = False
    line: int = 0

    def of(self, text: str) -> str:
        """Returns what is seen of a text: all of one within the bounds."""
        if len(text) > self.chars:
            text = text[-self.chars :] if self.from_end else text[: self.chars]
        if not self.line or len(text) <= self.line:
            return text
        return "\n".join([line[: self.line] for line in text.split("\n")])


WHOLE_REQUEST: Final = 1_200
HEAD_OF_REQUEST: Final = 750
TAIL_OF_REQUEST: Final = 250
"""Of a request longer than `WHOLE_REQUEST` the first `HEAD_OF_REQUEST` and the last `TAIL_OF_REQUEST` characters count.

They are fewer than `WHOLE_REQUEST` so that the longest request costs no more than one of a thousand characters.
"""

MEANING: Final = Excerpt(600)
"""Of a request, where it is compared by meaning."""
SEARCH: Final = Excerpt(6_000)
"""Of a task, where a workspace is searched for what it needs."""
FILE_NAMES: Final = Excerpt(20_000)
"""Of a task, where the files that it names are looked for."""

GOAL: Final = Excerpt(200)
"""Of what a task or a part of a request is to do, where only its first words tell what kind of work it is."""
OPENING: Final = Excerpt(400)
"""Of a request, where its first words may ask for something that an agent must not be given."""

AGENT_FILE: Final = Excerpt(256 * 1024)
"""Of an agent's file; what is behind it is not read at all, and its notes say so."""
FRONT_MATTER: Final = Excerpt(64 * 1024)
"""Of an agent's file, where the end of its front matter is looked for."""
ROLE: Final = Excerpt(12_000)
"""Of an agent's prompt, where agents are compared with requests."""

CHANGE: Final = Excerpt(20_000_000, line=20_000)
"""Of a change, where its reviewers are chosen and what tools wrote of it is looked for; their triggers see no more."""
CHANGED_LINE: Final = Excerpt(1_000)
"""Of a changed line, where it may speak to its reviewers."""
REVIEW: Final = Excerpt(400_000, from_end=True)
"""Of a reviewer's answer: the end, where the findings stand."""

RUNNER: Final = Excerpt(8_000, from_end=True)
"""Of what a runner of tests prints: the end, where it sums up."""
VERDICT_LINE: Final = Excerpt(400)
"""Of a line of such an answer, where it may say the verdict."""

HANDOFF: Final = Excerpt(200_000, from_end=True)
"""Of a worker's answer: the end, where its handoff stands."""
USAGE: Final = Excerpt(20_000)
"""Of a text that says what an attempt used."""
FAILURE: Final = Excerpt(600)
"""Of an error, where it is compared with others."""
REFUSAL: Final = Excerpt(2_000)
"""Of an error, where a host may say that it has no such subagent."""
REFUSAL_NAMES: Final = Excerpt(10_000)
"""Of such an error, where it lists the subagents that there are."""
PROMPT: Final = Excerpt(400)
"""Of a prompt, where it may begin with the name of an attempt."""

NOTIFICATION: Final = Excerpt(2_000)
"""Of a host's notification, in which its tags stand; its result comes after them."""

SOURCE: Final = Excerpt(200_000)
"""Of a file of tests; one that is longer is counted by lines, and not by its syntax."""


def request(text: str) -> str:
    """Returns what of a request is read: all of a short one, else its head, a line break and its tail."""
    if len(text) <= WHOLE_REQUEST:
        return text
    head, tail = text[:HEAD_OF_REQUEST], text[-TAIL_OF_REQUEST:]
    return head[: max(head.rfind(" "), HEAD_OF_REQUEST - 40)] + "\n" + tail[min(tail.find(" ") + 1, 40) :]
