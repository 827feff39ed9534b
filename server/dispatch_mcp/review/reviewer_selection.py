"""Who reviews: the one who always does, the best two of the pool, and users' own reviewers beside them.

What speaks for a reviewer is the triggers of its file, words and paths, and a few things about the structure of a
change that no word says. Rule: docs/rules.md#reviewer-roster.
"""

from __future__ import annotations

import functools
import itertools
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from pydantic import Field

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import problems
from dispatch_mcp.review import findings
from dispatch_mcp.text import diff_languages, json_types, path_globs, unified_diff
from dispatch_mcp.text.reading import excerpts

ROSTER: Final = "reviewers"
"""The bundled roster that the pool comes from."""

DOMAIN: Final = "review"
"""The domain of an agent that reviews."""

SEATS: Final = 2
"""How many of the pool sit beside those who always do (docs/rules.md#reviewer-roster)."""

OWN_SEATS: Final = 2
"""How many of a user's own reviewers may sit beside them."""

OWN_FROM: Final = 4.0
"""The score from which a user's own reviewer sits: one trigger of weight 8 in a single line, or several weak ones."""

# FADE, HALF, _SHARES and the weights of signs were chosen by hand on 474 public commits whose subject lines name what a
# reviewer looks for, and on 55 labelled ones. None is delicate: FADE from 0.7 to 0.9 and HALF from 0.5 to 2 move the
# share of the 474 that get the right reviewer by at most one point.

FADE: Final = 0.8
"""What each further piece of evidence counts for beside the stronger one before it: many weak ones make no strong one.
"""

HALF: Final = 1.0
"""Occurrences of a trigger at which it counts for half of its weight; it never counts for more than its weight."""

WEIGHED: Final = 12
"""Pieces of evidence that are added up, the strongest ones."""

MAX_WEIGHT: Final = 9.0
"""The most that a trigger can weigh, whatever a file says."""

MAX_REASONS: Final = 4

_ORDER: Final = ("security", "tests", "performance", "legacy", "dependencies")
"""Which subject goes first when scores are equal."""

_Subject = Literal["security", "tests", "performance", "legacy"]
_Kind = Literal["code", "test", "config", "text"]

_SHARES: Final[Mapping[_Kind, float]] = {"code": 1.0, "config": 1.0, "test": 0.5, "text": 0.5}
"""What a word counts for in a changed line, by the kind of file: tests and prose speak of more than they change."""

_CONTEXT: Final = 0.25
"""What a word counts for in an unchanged line that the change shows, as a share of one in a changed line."""


class Selection(model.Value):
    """Who reviews, and what the others scored; `advocate` argues against a unanimous PASS, empty when nobody can."""

    seats: tuple[findings.Reviewer, ...]
    passed_over: dict[str, float] = Field(default_factory=dict[str, float])
    advocate: str = ""
    languages: tuple[str, ...] = ()

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(seat.reviewer for seat in self.seats)


@dataclass(frozen=True, slots=True)
class Pool:
    """Who may review: those who always do, those to choose from, users' own, and the advocate."""

    always: tuple[catalog.Agent, ...] = ()
    choice: tuple[catalog.Agent, ...] = ()
    own: tuple[catalog.Agent, ...] = ()
    advocate: catalog.Agent | None = None
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def advocate_name(self) -> str:
        """Who argues against a unanimous PASS; empty when nobody can."""
        return self.advocate.name if self.advocate else ""


def pool(agents: catalog.Catalog) -> Pool:
    """Returns the pool of a catalogue: its bundled reviewers, and trusted agents of other layers that review.

    An agent reviews when its domain is `review` and it has `triggers` or `path_triggers`. One that has the name of a
    bundled reviewer replaces nobody: it is known by its roster and name.
    """
    bundled_agents = _shipped(agents)
    own = [
        agent
        for agent in (*agents.agents, *agents.shadowed)
        if agent.layer != "bundled" and _may_review(agent) and _has_triggers(agent)
    ]
    advocate = next((agent for agent in bundled_agents if agent.extra.get("when") == "unanimous-pass"), None)
    always = tuple(agent for agent in bundled_agents if agent.extra.get("always") is True)
    choice = tuple(agent for agent in bundled_agents if agent not in always and agent is not advocate)
    shipped_names = {agent.name for agent in bundled_agents}
    names = {agent.qualified: agent.name for agent in bundled_agents}
    names |= {agent.qualified: agent.qualified if agent.name in shipped_names else agent.name for agent in own}
    return Pool(always, choice, tuple(sorted(own, key=lambda agent: agent.qualified)), advocate, names)


def _shipped(agents: catalog.Catalog) -> list[catalog.Agent]:
    roster = agents.roster(ROSTER).agents if ROSTER in agents.rosters else ()
    return [agent for agent in roster if agent.layer == "bundled"]


def _may_review(agent: catalog.Agent) -> bool:
    return agent.domain == DOMAIN and agent.trusted


def _has_triggers(agent: catalog.Agent) -> bool:
    return any(isinstance(agent.extra.get(key), dict) for key in ("triggers", "path_triggers"))


def find(agents: catalog.Catalog, name: str) -> catalog.Agent | None:
    """Returns the reviewer of that name; a bundled one whatever another layer calls so."""
    agent = next((agent for agent in _shipped(agents) if agent.name == name), None)
    return agent or agents.find(name)


def names(agents: catalog.Catalog) -> frozenset[str]:
    """Returns the names of all agents that review: the bundled ones, and trusted ones of the domain `review`."""
    own = (agent for agent in agents.agents if _may_review(agent))
    return frozenset(agent.name for agent in (*_shipped(agents), *own))


def by_name(agents: catalog.Catalog, names: Sequence[str]) -> tuple[findings.Reviewer, ...]:
    """Returns the reviewers that somebody asks for by name: any trusted agents of the domain `review`.

    Raises:
        InputError: one of them is no reviewer here.
    """
    reviewers: list[findings.Reviewer] = []
    for name in dict.fromkeys(names):
        agent = find(agents, name)
        if agent is None or not _may_review(agent):
            able = sorted({other.name for other in (*agents.agents, *agents.shadowed) if _may_review(other)})
            raise errors.InputError(
                f"{name[:100]!r} is no reviewer here.", hint=f"Reviewers: {problems.in_backticks(able)}."
            )
        reviewers.append(findings.Reviewer(reviewer=name, why=("asked for by name",), own=True))
    return tuple(reviewers)


def select(
    diff: unified_diff.Diff, candidates: Pool, *, skipped_paths: Sequence[str] = (), seats: int = SEATS
) -> Selection:
    """Returns who reviews a change: always the same for the same change and pool.

    `skipped_paths` are paths that nobody reviews but that say something, such as lock files.
    """
    files = [_file_text(change) for change in diff.files]
    vocabulary = _Vocabulary(files, skipped_paths)
    signs = tuple(_signs(files))
    ranking = _ranking(vocabulary, candidates.choice, signs)
    always = [findings.Reviewer(reviewer=agent.name, why=("sits in every round",)) for agent in candidates.always]
    own = [seat for seat in _ranking(vocabulary, candidates.own, signs, candidates.names) if seat.score >= OWN_FROM]
    return Selection(
        seats=(*always, *ranking[:seats], *(seat.model_copy(update={"own": True}) for seat in own[:OWN_SEATS])),
        passed_over={seat.reviewer: seat.score for seat in ranking[seats:]},
        advocate=candidates.advocate_name,
        languages=_languages(diff),
    )


def _languages(diff: unified_diff.Diff) -> tuple[str, ...]:
    """Returns the five languages with the most lines, unchanged ones around a change too."""
    lines: Counter[str] = Counter()
    for change in diff.files:
        if change.language:
            lines[change.language] += sum(len(hunk.lines) for hunk in change.hunks)
    return tuple(sorted(lines, key=lambda name: (-lines[name], name))[:5])


class _Evidence(NamedTuple):
    """Something in the change that speaks for a reviewer; `value` is on the scale of triggers, from 0 to 9."""

    value: float
    reason: str


class _Sign(NamedTuple):
    """What the structure of a change says for the reviewer of a subject; `weight` is on the scale of triggers."""

    subject: _Subject
    weight: float
    reason: str
    path: str


def _ranking(
    vocabulary: _Vocabulary,
    agents: Sequence[catalog.Agent],
    signs: Sequence[_Sign],
    names: Mapping[str, str] | None = None,
) -> list[findings.Reviewer]:
    """Returns all agents with their scores, the best first; equal ones by their subjects, then by their names."""
    ranking: list[tuple[float, int, str, findings.Reviewer]] = []
    for agent in agents:
        subject = agent.extra.get("subject")
        evidence = [_Evidence(sign.weight, f"{sign.reason} ({sign.path})") for sign in signs if sign.subject == subject]
        evidence += _from_triggers(agent, vocabulary)
        evidence.sort(key=lambda piece: (-piece.value, piece.reason))
        score = round(sum(piece.value * FADE**place for place, piece in enumerate(evidence[:WEIGHED])), 3)
        why = tuple(piece.reason for piece in evidence[:MAX_REASONS] if piece.value >= 1)
        reviewer = findings.Reviewer(
            reviewer=(names or {}).get(agent.qualified, agent.name),
            why=why or ("nothing speaks for anybody else",),
            score=score,
        )
        place = _ORDER.index(subject) if subject in _ORDER else len(_ORDER)
        ranking.append((-score, place, agent.qualified, reviewer))
    return [reviewer for *_, reviewer in sorted(ranking, key=lambda row: row[:3])]


def _from_triggers(agent: catalog.Agent, vocabulary: _Vocabulary) -> Iterator[_Evidence]:
    for trigger, weight in _weights(agent.extra.get("triggers")):
        count = vocabulary.count(trigger)
        if count:
            yield _Evidence(weight * count / (count + HALF), f"`{trigger}` is in the change")
    for pattern, weight in _weights(agent.extra.get("path_triggers")):
        path = vocabulary.path(pattern)
        if path:
            yield _Evidence(weight, f"{path} matches {pattern}")


def _weights(table: model.Json) -> Iterator[tuple[str, float]]:
    if json_types.is_object(table):
        for trigger, weight in table.items():
            if isinstance(weight, int | float) and not isinstance(weight, bool) and trigger:
                yield trigger, min(max(float(weight), 0.0), MAX_WEIGHT)


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


class _FileText(NamedTuple):
    """One file of a change: the texts of its new, its old and its unchanged lines, these with the heads of hunks."""

    change: unified_diff.FileChange
    kind: _Kind
    new: str
    old: str
    around: str


def _file_text(change: unified_diff.FileChange) -> _FileText:
    lines = [excerpts.CHANGE.of(line) for hunk in change.hunks for line in hunk.lines]
    new, old, same = ("\n".join([line[1:] for line in lines if line[0] == mark]) for mark in "+- ")
    heads = "\n".join(hunk.section for hunk in change.hunks)
    return _FileText(change, _kind(change), new, old, f"{heads}\n{same}")


class _Vocabulary:
    """The words and paths of a change, ready to be searched for triggers."""

    def __init__(self, files: Sequence[_FileText], other_paths: Sequence[str]) -> None:
        self._paths = [*(file.change.path for file in files), *other_paths]
        self._listing = "\n".join(self._paths).lower()
        self._lines = "\n".join(text for file in files for text in (file.new, file.old)).lower()
        texts: dict[float, list[str]] = defaultdict(list)
        for file in files:
            share = _SHARES[file.kind]
            texts[share] += [file.new, file.old]
            texts[share * _CONTEXT].append(file.around)
            texts[1 / len(files)].append(file.change.path)
        self._counts: dict[str, float] = defaultdict(float)
        for share, bodies in sorted(texts.items()):
            for word, count in Counter(_WORD.findall("\n".join(bodies))).items():
                for part in _parts(word):
                    self._counts[part] += count * share
        self._alphabetical = sorted(self._counts)

    def count(self, trigger: str) -> float:
        """Returns how often a trigger occurs, weighed by where; case does not count.

        A word is looked for as a word or a part of a name, `word*` as the beginning of one, of which the most frequent
        counts, and anything else as it is written, in changed lines only.
        """
        trigger = trigger.lower()
        if trigger.endswith("*"):
            return max((self._counts[word] for word in self._beginning(trigger[:-1])), default=0.0)
        if _WORD.fullmatch(trigger):
            return self._counts.get(trigger.replace("_", ""), 0.0)
        # Most texts are not there, and their words say so faster than a search.
        if all(word.replace("_", "") in self._counts for word in _WORD.findall(trigger)):
            return float(self._lines.count(trigger))
        return 0.0

    def _beginning(self, start: str) -> Iterator[str]:
        for place in range(bisect_left(self._alphabetical, start), len(self._alphabetical)):
            if not self._alphabetical[place].startswith(start):
                return
            yield self._alphabetical[place]

    def path(self, pattern: str) -> str:
        """Returns the first path that a glob matches, or an empty string; case does not count."""
        pattern = pattern.lower()
        literal = max(re.split(r"[*?]+", pattern), key=len).strip("/")
        if literal not in self._listing:
            return ""
        return next((path for path in self._paths if path_globs.matches(pattern, path.lower())), "")


@functools.lru_cache(maxsize=20_000)
def _parts(word: str) -> tuple[str, ...]:
    """Returns a name, its parts, and neighbouring parts together, all in lower case and without underscores."""
    parts = [part.lower() for part in _PART.findall(word)]
    pairs = [first + second for first, second in itertools.pairwise(parts)]
    return tuple(dict.fromkeys((word.lower().replace("_", ""), *parts, *pairs)))


_TEST_FOLDER = re.compile(
    r"(?:^|/)(?:tests?|__tests__|specs?|e2e|testing|cypress|testdata|androidTest)/", re.IGNORECASE
)
# Names such as `test_x.py`, `x_test.go`, `x.spec.ts` and `XTest.java`.
_TEST_NAME = re.compile(
    r"(?:^|/)(?:test_[^/]*|conftest\.py)$|[_.-](?:tests?|specs?|e2e|cy)\.\w+$|(?:Tests?|TestCase|Spec|IT)\.\w+$"
)


def is_test(path: str) -> bool:
    """Returns whether a file holds tests, as its path says."""
    return bool(_TEST_FOLDER.search(path) or _TEST_NAME.search(path))


def _kind(change: unified_diff.FileChange) -> _Kind:
    if is_test(change.path):
        return "test"
    if change.language == "text":
        return "text"
    return "config" if change.language in diff_languages.NOT_CODE else "code"


def _signs(files: Sequence[_FileText]) -> Iterator[_Sign]:
    tests = [file for file in files if file.kind == "test" and file.change.language not in diff_languages.NOT_CODE]
    code = [file for file in files if file.kind == "code"]
    yield from _of_tests(tests)
    if tests and not code:
        yield _Sign("tests", 9.0, "only tests change", tests[0].change.path)
    if code and not tests:
        yield from _without_tests(code)
    if code:
        yield from _of_removal(code)
        yield from _of_loops(code)
        yield from _of_queries(code)


_CLAIMS: Final = (
    *("def test", " it(", " test(", "it '", "@test", "func test", "#[test]", "[fact]"),
    *("assert", "expect", "should", "verify("),
)
"""What begins a test or a claim in one, in lower case."""

_SKIPS: Final = (
    *("mark.skip", "mark.xfail", ".skip(", "skipif", "skipunless", ".skiptest", "@skip", ".skip\n", "t.skip", "skip:"),
    *("skip =", "skip=", "@ignore", "@disabled", "#[ignore", "xit(", "xit '", "xdescribe(", "xtest(", "xcontext "),
    *("# def test", "#def test", "// it(", "//it(", "// test(", "//test(", "// describe(", "# it '", "// func test"),
)
"""What keeps a test from running in the usual frameworks, or comments it out, in lower case."""


def _of_tests(tests: Iterable[_FileText]) -> Iterator[_Sign]:
    for file in tests:
        new, old = file.new.lower(), file.old.lower()
        if sum(map(old.count, _CLAIMS)) > sum(map(new.count, _CLAIMS)):
            yield _Sign("tests", 8.0, "tests or assertions are taken away", file.change.path)
        if any(word in text for word in _SKIPS for text in (new, old)):
            yield _Sign("tests", 8.0, "a test is skipped, or is no longer", file.change.path)


# Words of the usual languages where behaviour divides or ends.
_BRANCH = re.compile(
    r"\b(?:if|elif|else|switch|case|match|when|catch|except|raise|throw|rescue|unless|return)\b|&&|\|\|"
)


def _without_tests(code: Sequence[_FileText]) -> Iterator[_Sign]:
    """Yields the sign that behaviour changes and no test does: the more branches, the heavier, from 3 to 5."""
    branches = sum(len(_BRANCH.findall(file.new)) for file in code)
    if branches:
        weight = 3.0 + min(2.0, 0.3 * branches)
        yield _Sign("tests", weight, "behaviour changes and no test does", code[0].change.path)


# Words of the usual languages before a name that is defined.
_DEFINERS: Final = "def|class|function|func|fn|fun|interface|struct|enum|trait|type|module|record|const|protocol"
# Words before these.
_MODIFIERS: Final = "export|default|public|protected|static|final|abstract|async|pub|open|override|suspend|sealed|data"
# A line that defines a name: modifiers and a word such as `def`, or a method as Java and C# write it.
_DEFINITION_BY_WORD: Final = rf"(?:{_DEFINERS})[ \t]++(?:\([^)\n]*+\)\s*+)?(?:self\.)?([A-Za-z]\w*)"
_METHOD: Final = r"(?:public|protected)\s[^=;(\n]*?\b(\w++)\s*+\("
_DEFINITION = re.compile(rf"^[ \t]*+(?:(?:{_MODIFIERS})[ \t]++)*(?:{_DEFINITION_BY_WORD}|{_METHOD})", re.MULTILINE)
FEW_LINES: Final = 5
"""Lines of code that may go without a sign."""


def _of_removal(code: Sequence[_FileText]) -> Iterator[_Sign]:
    names = {name for file in code for name in _definitions(file.new)}
    path = next((file.change.path for file in code if not names.issuperset(_definitions(file.old))), "")
    if path:
        yield _Sign("legacy", 6.0, "a name that others may use goes", path)
    new, old = (sum(map(_lines, texts)) for texts in zip(*((file.new, file.old) for file in code), strict=True))
    if old > FEW_LINES and old > new + new / 2:
        yield _Sign("legacy", 5.0, "more code goes than comes", code[0].change.path)


def _lines(text: str) -> int:
    return sum(not line.isspace() for line in text.split("\n") if line)


def _definitions(text: str) -> set[str]:
    return {name or method for name, method in _DEFINITION.findall(text)}


# The head of a loop: a statement, or a method that takes a function or a block.
_LOOP = re.compile(
    r"\s*+(?:\}\s*+)?(?:for|while|foreach|loop|until)\b|.*\.(?:for_?each|flat_?map|map|each|times)\w*+\s*+(?:[({]|do\b)"
)
_CALLS: Final = (
    *(r"\bawait\b", r"\bquery", r"\.objects\b", r"execute", r"\.(?:find|fetch|get|load|save|count|index)\w*\("),
    *(r"\bfetch\(", r"\bhttp", r"session\.", r"client\.", r"repo\w{0,40}\.", r"\bdb\.", r"\.where\(", r"\bselect\b"),
    *(r"\bopen\(", r"compile\(", r"_set\."),
)
_CALL = re.compile("|".join(_CALLS))


def _of_loops(code: Iterable[_FileText]) -> Iterator[_Sign]:
    for file in code:
        if any(_calls_in_loop(hunk.lines) for hunk in file.change.hunks):
            yield _Sign("performance", 5.0, "a loop calls what may leave the process", file.change.path)
            return


def _calls_in_loop(lines: Iterable[str]) -> bool:
    """Returns whether a call stands deeper than the head of a loop above it, and one of both is new.

    Depth is indentation, which all usual formatters keep, in languages with braces too.
    """
    loops: list[tuple[int, bool]] = []
    for line in lines:
        text = line[1:].lower()
        if line[0] not in " +" or not text.strip():
            continue
        depth = len(text) - len(text.lstrip())
        while loops and loops[-1][0] >= depth:
            loops.pop()
        new = line[0] == "+"
        if loops and (new or any(fresh for _, fresh in loops)) and _CALL.search(text):
            return True
        if _may_loop(text) and _LOOP.match(text):
            loops.append((depth, new))
    return False


def _may_loop(text: str) -> bool:
    """Returns whether it is worth looking for the head of a loop; `in` is many times faster than a pattern."""
    return "for" in text or "while" in text or ".map" in text or "each" in text or "loop" in text or "until" in text


# A statement of SQL in a text, and a value that is put into a text instead of being bound.
_QUERY = re.compile(r"[\"'`]\s*(?:select\b.*\bfrom|insert\s+into|update\b.*\bset|delete\s+from)\b", re.IGNORECASE)
_FILLED = re.compile(r"\{\w|\$\w|[\"'`]\s*(?:\+|\.\.?|%|\|\|)\s*\w|\.format\(|sprintf", re.IGNORECASE)


def _of_queries(code: Iterable[_FileText]) -> Iterator[_Sign]:
    for file in code:
        if any(_QUERY.search(line) and _FILLED.search(line) for line in file.new.split("\n") if " " in line):
            yield _Sign("security", 7.0, "a query is built from text", file.change.path)
            return
