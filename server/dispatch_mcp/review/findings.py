"""What reviewers answer, as values: verdicts, findings, refutations, waivers."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal

from dispatch_mcp import model

Severity = Literal["critical", "high", "medium", "low"]
Verdict = Literal["PASS", "FAIL"]
Role = Literal["reviewer", "advocate", "earlier"]
Kind = Literal["instruction", "verdict", "role", "markup", "silence", "authority", "hidden"]
Ruling = Literal["stands", "gone", "refuted"]

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "high", "medium", "low")
"""The worst first."""

BLOCKING: Final[frozenset[Severity]] = frozenset({"critical", "high"})
"""Critical and high block, medium is a to-do, low is for information (docs/rules.md#severities)."""

_SPACE = re.compile(r"\s+")


class Finding(model.Value):
    """One thing that a reviewer says is wrong. `line` is 0 when it named none; `last` ends a quote of several lines.

    `anchored` says that the server found the quote in the change; a finding without is demoted to low, and `claimed`
    keeps what its reviewer called it. `earlier` is its id in an earlier round; `marks` say what the server corrected.
    `decides` says that its reviewer's FAIL rests on it.
    """

    reviewer: str
    severity: Severity
    file: str = ""
    line: int = 0
    quote: str = ""
    claim: str = ""
    evidence: str = ""
    fix: str = ""
    last: int = 0
    removed: bool = False
    anchored: bool = False
    claimed: Severity | Literal[""] = ""
    earlier: str = ""
    marks: tuple[str, ...] = ()
    decides: bool = False

    @property
    def called(self) -> Severity:
        """What its reviewer called it."""
        return self.claimed or self.severity


class EarlierRuling(model.Value):
    """What a reviewer says about a finding of an earlier round; `gone` and `refuted` need a quote as proof."""

    finding: str
    ruling: Ruling
    reviewer: str = ""
    file: str = ""
    line: int = 0
    quote: str = ""
    evidence: str = ""
    anchored: bool = False


class ReviewReport(model.Value):
    """One reviewer's answer about one part of a change; no verdict means that there is no usable one.

    `problem` says why there is none; `files` are those that its reviewer says it has read.
    """

    reviewer: str
    verdict: Verdict | None = None
    files: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    rulings: tuple[EarlierRuling, ...] = ()
    role: Role = "reviewer"
    part: int = 1
    problem: str = ""


class Refutation(model.Value):
    """Counter-evidence against a finding, in the form of a finding: it counts when its quote is there too."""

    finding: str
    reviewer: str
    file: str = ""
    line: int = 0
    quote: str = ""
    evidence: str = ""
    anchored: bool = False


class Reviewer(model.Value):
    """One reviewer of a round, why, and how strongly; `own` marks a user's reviewer."""

    reviewer: str
    why: tuple[str, ...] = ()
    score: float = 0.0
    own: bool = False


SAID: Final = {
    "instruction": "tells its reader to disregard instructions or to follow others",
    "verdict": "asks for, or contains, a verdict",
    "role": "gives its reader another role",
    "markup": "looks like a part of a prompt",
    "silence": "asks not to report something",
    "authority": "claims that somebody has approved it already",
    "hidden": "has characters that cannot be seen",
}


class Flag(model.Value):
    """A line of the change that addresses whoever reads it; its words are not repeated here."""

    path: str
    line: int
    kind: Kind

    @property
    def label(self) -> str:
        """Where it is and what it does."""
        return f"{self.path}:{self.line}: {SAID[self.kind]}"


class Waiver(model.Value):
    """A person's word that a finding shall not block; `at` is seconds since the epoch, `by` who and how."""

    finding: str
    reason: str
    by: str
    at: float = 0.0


def key(file: str, quote: str) -> str:
    """Returns the id of a finding: eight letters and digits that stay the same when lines move."""
    identity = f"{file}\0{plain(quote)}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(identity).hexdigest()[:8]


def plain(text: str) -> str:
    """Returns a text with single blanks, for comparing quotes."""
    return _SPACE.sub(" ", text).strip()


def worst(severities: list[Severity]) -> Severity:
    """Returns the worst of some severities."""
    return min(severities, key=SEVERITIES.index)
