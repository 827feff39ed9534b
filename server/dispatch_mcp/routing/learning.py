"""Learning from outcomes: what past requests and how they ended say about which agent fits a new one.

A request seen before goes where it went well. Beyond that, two small learners (a centroid of each agent's past
requests, and a residual softmax learner with the router's own score as offset) propose a change of the scores. They
are heard only as far as they have earned it: each confirmed request is first predicted without and with them, and the
strength that would have predicted best so far is used; while none beats the router alone, nothing changes.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final, Literal

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import agent_index, request_reader, route_evidence, scoring
from dispatch_mcp.text import tokenizer
from dispatch_mcp.text.reading import excerpts

MAX_TRAINED: Final = 1_000
"""The newest past requests that train the learners; older ones still count as exact repetitions."""

MAX_TEXT: Final = 1_000
"""Characters of a request that are kept."""

MAX_WORDS: Final = 32
"""Words of a request that are compared with past ones."""

MAX_LEARNERS: Final = 4
"""Catalogues for which one history keeps what it has learned."""

# The figures from here to PRIOR were set by hand against benchmarks/feedback.py in November 2026: recurring intents had
# to gain two points for each confirmation of an agent, and one-off requests must not lose one. No script fits them.

STRENGTHS: Final = (0.0, 0.2, 0.5, 1.0)
"""How far the learners may be heard; 0 is the router alone, against which the others have to prove themselves."""

CENTROID: Final = 16.0
"""Log odds that a request gains for an agent whose past requests it equals word by word (cosine 1)."""

FAINT: Final = 0.15
"""Log odds of one word below which it is not looked at: they cost time and change no order."""

RATE: Final = 8.0
ROUNDS: Final = 2
RIVALS: Final = 12
"""The residual learner: step size in log odds, passes over each outcome, best agents that a pass compares."""

STOPPED: Final = 0.4
PAIR: Final = 0.5
"""What a small word and a pair of neighbouring words count beside a content word."""

PATIENCE: Final = 0.99
"""What a prediction counts after the next one has been made: old mistakes are forgiven slowly."""

LEAST: Final = 20
LEAD: Final = 3.0
"""From how many predictions on, and by how many nats ahead, the learners are heard at all."""

MAX_LOSS: Final = 8.0
"""Nats that one prediction costs at most, so that a single surprise does not silence what has proved itself."""

SAME: Final = 14.0
NEAR: Final = 11.0
"""Log odds that one confirmed repetition adds, word for word or but for order and small words.

As much as an example of the agent itself (`scoring.PLAIN`), and a little less.
"""

SIMILAR: Final = 0.4
"""Cosine from which on a past request is similar enough to say how such requests went."""

KEPT: Final = 32
"""Past requests of each agent that are looked at to say how similar ones went."""

PRIOR: Final = 2.0
"""Outcomes that the routing probability stands for beside those seen, so that one success proves little."""


@dataclass(frozen=True, slots=True)
class PastRoutes:
    """One past request that an agent did well or badly; `weight` (0 to 1) is how much the outcome says."""

    text: str
    agent: str
    good: bool = True
    weight: float = 1.0


Outcome = Literal["accepted", "failed", "corrected", "rerouted"]
"""How a route went: its task was proved or accepted by a person, or it failed or was blocked by a review; its agent was
replaced by the user, or is the replacement."""

FAILED: Final = 0.5
"""A failure says half: its reason may be anything but the route."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One outcome as the store has it; `no` is 0 until it is there, `at` is seconds since the epoch."""

    text: str
    agent: str
    outcome: Outcome
    weight: float = 1.0
    run_id: str = ""
    task_id: str = ""
    at: float = 0.0
    no: int = 0

    @property
    def past(self) -> PastRoutes:
        """Returns the lesson as what routing learns from."""
        return PastRoutes(self.text, self.agent, self.outcome in ("accepted", "rerouted"), self.weight)


@dataclass(frozen=True)
class History:
    """Outcomes of past routes, the newest last."""

    past: tuple[PastRoutes, ...] = ()
    learners: dict[str, Learner] = field(default_factory=dict[str, "Learner"], compare=False, repr=False)

    def after(self, *more: PastRoutes, limit: int = 2_000) -> History:
        """Returns the history with newer outcomes; what was learned so far goes over to it."""
        whole = (*self.past, *more)
        if len(whole) > limit:
            return History(whole[-limit // 2 :])
        learners = dict(self.learners)
        self.learners.clear()
        return History(whole, learners)


NO_HISTORY = History()
Vector = Mapping[str, float]
_NOBODY: Mapping[int, float] = {}
Base = Callable[[str], Sequence[float]]
"""The router's own scores of all agents for a text."""


@dataclass(slots=True)
class Learner:
    """What is learned for one catalogue of `size` agents; `take` adds one outcome, `change` says what it is worth."""

    size: int
    position: int = 0
    count: int = 0
    frequency: Counter[str] = field(default_factory=Counter[str])
    sums: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    squares: list[float] = field(default_factory=list[float])
    weights: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    losses: list[float] = field(default_factory=lambda: [0.0] * len(STRENGTHS))
    hits: list[float] = field(default_factory=lambda: [0.0] * len(STRENGTHS))
    same: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    near: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    cases: dict[int, deque[tuple[Vector, bool]]] = field(default_factory=dict[int, "deque[tuple[Vector, bool]]"])

    loud_words: dict[str, list[tuple[int, float]]] = field(default_factory=dict[str, "list[tuple[int, float]]"])
    last_request: tuple[str, Vector] = ("", {})

    def __post_init__(self) -> None:
        self.squares = self.squares or [0.0] * self.size

    def remember(self, past: PastRoutes, place: int) -> None:
        """Counts an outcome for repetitions of its text."""
        net = past.weight if past.good else -past.weight
        for table, key in ((self.same, tokenizer.key(past.text)), (self.near, agent_index.gist(past.text))):
            if key:
                row = table.setdefault(key, {})
                row[place] = row.get(place, 0.0) + net

    def take(self, past: PastRoutes, place: int, base: Sequence[float]) -> None:
        """Learns from an outcome; a good one is first predicted at every strength."""
        self.remember(past, place)
        self.loud_words.clear()
        self.last_request = ("", {})
        counts = words(past.text)
        vector = self.vector(counts)
        changes = self.proposal(vector)
        if past.good:
            self._judge(base, changes, place, past.weight)
        self._train(vector, base, place, past)
        if past.good:
            self._sum_up(vector, place, past.weight)
        self.cases.setdefault(place, deque(maxlen=KEPT)).append((vector, past.good))
        self.frequency.update(counts.keys())
        self.count += 1

    def vector(self, counts: Vector) -> Vector:
        """Returns counts of words weighted by their rarity among past requests, of length 1."""
        values = {word: count * self._rarity(word) for word, count in counts.items()}
        length = math.sqrt(sum(value * value for value in values.values())) or 1.0
        return {word: value / length for word, value in values.items()}

    def _rarity(self, word: str) -> float:
        return math.log(1 + (self.count + 1) / (self.frequency[word] + 1))

    def proposal(self, vector: Vector) -> list[float]:
        """Returns the change of each agent's score that both learners propose at full strength."""
        likenesses, residuals = self._sum(self.sums, vector), self._sum(self.weights, vector)
        return [
            CENTROID * similar / math.sqrt(square) + weight if square else weight
            for similar, square, weight in zip(likenesses, self.squares, residuals, strict=True)
        ]

    def _sum(self, table: Mapping[str, Mapping[int, float]], vector: Vector) -> list[float]:
        scores = [0.0] * self.size
        for word, value in vector.items():
            for place, weight in table.get(word, _NOBODY).items():
                scores[place] += value * weight
        return scores

    def repetition(self, key: str, gist: str) -> Mapping[int, float]:
        """Returns what earlier outcomes of the same request add to the scores, by place."""
        for table, form, most in ((self.same, key, SAME), (self.near, gist, NEAR)):
            if form in table:
                return {place: most * max(-1.0, min(1.0, net)) for place, net in table[form].items()}
        return _NOBODY

    def question(self, source: str) -> Vector:
        """Returns the vector of a request; the last one is kept."""
        if self.last_request[0] != source:
            self.last_request = (source, self.vector(words(source)))
        return self.last_request[1]

    def change(self, vector: Vector) -> list[float]:
        """Returns what `proposal` returns, but for small parts, and faster when nothing was learned in between."""
        scores = [0.0] * self.size
        for word, value in vector.items():
            for place, weight in self.loud_words[word] if word in self.loud_words else self._hear(word):
                scores[place] += value * weight
        return scores

    def _hear(self, word: str) -> list[tuple[int, float]]:
        row = dict(self.weights.get(word, _NOBODY))
        for place, total in self.sums.get(word, _NOBODY).items():
            row[place] = row.get(place, 0.0) + CENTROID * total / math.sqrt(self.squares[place])
        loud = [(place, weight) for place, weight in row.items() if abs(weight) >= FAINT]
        if row:
            self.loud_words[word] = loud
        return loud

    @property
    def strength(self) -> float:
        """Returns how far the learners are heard: the best strength so far, 0 while none is clearly ahead."""
        if self.count < LEAST:
            return 0.0
        ahead = [
            at
            for at in range(1, len(STRENGTHS))
            if self.losses[at] + LEAD < self.losses[0] and self.hits[at] >= self.hits[0]
        ]
        return STRENGTHS[min(ahead, key=lambda at: self.losses[at])] if ahead else 0.0

    def _judge(self, base: Sequence[float], changes: Sequence[float], place: int, weight: float) -> None:
        for at, strength in enumerate(STRENGTHS):
            scores = [score + strength * change for score, change in zip(base, changes, strict=True)]
            top = max(scores)
            loss = math.log(sum(math.exp(score - top) for score in scores)) + top - scores[place]
            self.losses[at] = PATIENCE * self.losses[at] + weight * min(loss, MAX_LOSS)
            self.hits[at] = PATIENCE * self.hits[at] + weight * (scores[place] == top) / scores.count(top)

    def _train(self, vector: Vector, base: Sequence[float], place: int, past: PastRoutes) -> None:
        for _ in range(ROUNDS):
            scores = [score + change for score, change in zip(base, self._sum(self.weights, vector), strict=True)]
            rivals = nlargest(RIVALS, range(self.size), key=scores.__getitem__)
            places = rivals if place in rivals else [*rivals, place]
            shares = scoring.softmax([scores[at] for at in places])
            pushes = _pushes(places, shares, place, good=past.good)
            for word, value in vector.items():
                row = self.weights.setdefault(word, {})
                for at, push in pushes:
                    row[at] = row.get(at, 0.0) + RATE * past.weight * push * value

    def _sum_up(self, vector: Vector, place: int, weight: float) -> None:
        for word, value in vector.items():
            row = self.sums.setdefault(word, {})
            old = row.get(place, 0.0)
            row[place] = old + weight * value
            self.squares[place] += row[place] ** 2 - old**2


def _pushes(places: Sequence[int], shares: Sequence[float], place: int, *, good: bool) -> list[tuple[int, float]]:
    """Returns by how much which score should rise or fall; too small ones are left out."""
    if good:
        pushes = [(at, (at == place) - share) for at, share in zip(places, shares, strict=True)]
    else:
        pushes = [(at, -share) for at, share in zip(places, shares, strict=True) if at == place]
    return [(at, push) for at, push in pushes if abs(push) > 1e-3]


def words(source: str) -> Vector:
    """Returns the words and neighbouring pairs of a request with what each counts."""
    stems = tokenizer.stems(excerpts.request(source))[:MAX_WORDS]
    counts: dict[str, float] = {}
    for stem in stems:
        counts[stem] = counts.get(stem, 0.0) + (STOPPED if stem in tokenizer.STOP else 1.0)
    for pair in agent_index.pairs(stems):
        counts[pair] = counts.get(pair, 0.0) + PAIR
    return counts


def learn(learner: Learner, past: Sequence[PastRoutes], places: Callable[[str], int], base: Base) -> None:
    """Brings a learner up to a history; `places` returns an agent's place, or -1 for one that is not there."""
    for number in range(learner.position, len(past)):
        case = past[number]
        place = places(case.agent)
        if place < 0:
            continue
        if number < len(past) - MAX_TRAINED:
            learner.remember(case, place)
        else:
            learner.take(case, place, base(case.text))
    learner.position = len(past)


def bonus(history: History, request: request_reader.Request, agents: catalog.Catalog) -> Mapping[int, float]:
    """Returns what past outcomes add to the scores of routable agents, by their place."""
    if not history.past:
        return _NOBODY
    learner = _learner(history, agents)
    scores = dict(learner.repetition(request.key, request.gist))
    strength = learner.strength
    if strength:
        changes = learner.change(learner.question(request.source))
        scores = {place: scores.get(place, 0.0) + strength * change for place, change in enumerate(changes)}
    return scores


def _learner(history: History, agents: catalog.Catalog) -> Learner:
    """Returns what the history teaches about these agents; only outcomes that are new since the last call cost."""
    learner = history.learners.get(agent_index.fingerprint(agents))
    if learner is None:
        while len(history.learners) >= MAX_LEARNERS:
            del history.learners[next(iter(history.learners))]
        learner = history.learners.setdefault(agent_index.fingerprint(agents), Learner(len(agents.routable)))
    if learner.position < len(history.past):
        numbers = {agent.qualified: place for place, agent in enumerate(agents.routable)}

        def place_of(name: str) -> int:
            agent = agents.find(name)
            return numbers.get(agent.qualified, -1) if agent else -1

        learn(learner, history.past, place_of, lambda source: _base(source, agents))
    return learner


def _base(source: str, agents: catalog.Catalog) -> Sequence[float]:
    index = agent_index.index_of(agents)
    return scoring.score(request_reader.read(source, index, agents.words), index).logits


@dataclass(frozen=True, slots=True)
class Similar:
    """How requests like this one went with an agent; `word` is the heaviest word that they share with it."""

    good: int
    bad: int
    word: str

    @property
    def summary(self) -> str:
        """Returns the count in words."""
        tasks = "task" if self.good + self.bad == 1 else "tasks"
        if not self.bad:
            return f"{self.good} similar {tasks} went well"
        return f"{self.good} of {self.good + self.bad} similar {tasks} went well"


def similar(history: History, request: request_reader.Request, agents: catalog.Catalog, place: int) -> Similar | None:
    """Returns how requests like this one went with the routable agent at this place; None when there were none."""
    if not history.past:
        return None
    learner = _learner(history, agents)
    cases = learner.cases.get(place)
    if not cases:
        return None
    vector = learner.question(request.source)
    alike = [(case, good) for case, good in cases if _likeness(vector, case) >= SIMILAR]
    if not alike:
        return None
    likeness: Counter[str] = Counter()
    for case, _ in alike:
        likeness.update({word: value * case[word] for word, value in vector.items() if word in case})  # pyright: ignore[reportArgumentType] - counters hold floats too
    good = sum(good for _, good in alike)
    heaviest = (word for word, _ in likeness.most_common() if " " not in word and word not in tokenizer.STOP)
    return Similar(good, len(alike) - good, next(heaviest, ""))


def _likeness(vector: Vector, other: Vector) -> float:
    return sum(value * other[word] for word, value in vector.items() if word in other)


def success(cases: Similar | None, sure: float) -> tuple[float | None, str]:
    """Returns the smoothed share of similar past tasks that went well, and the count in words; None if unknown.

    `sure`, the routing probability, counts as two tasks, so that few outcomes move little.

    Rule: docs/rules.md#confidence-factors.
    """
    if cases is None:
        return None, ""
    rate = (cases.good + PRIOR * sure) / (cases.good + cases.bad + PRIOR)
    return round(rate, 4), cases.summary


def with_history(
    evidence: tuple[route_evidence.QuoteEvidence, ...],
    cases: Similar | None,
    request: request_reader.Request,
    most: int,
) -> tuple[route_evidence.QuoteEvidence, ...]:
    """Returns the evidence with the past tasks that speak for the agent; the shares still add up."""
    if cases is None or cases.good <= cases.bad:
        return evidence
    term = next((term for term in request.terms if term.stem == cases.word), None)
    if term is None:
        return evidence
    weight = round((cases.good - cases.bad) / (cases.good + cases.bad + PRIOR), 3)
    piece = route_evidence.QuoteEvidence(
        quote=request.source[term.start : term.end], field="history", matched=cases.summary, weight=weight
    )
    rest = (old.model_copy(update={"weight": round(old.weight * (1 - weight), 3)}) for old in evidence)
    return tuple(sorted((*rest, piece), key=lambda old: -old.weight)[:most])


@dataclass(frozen=True, slots=True)
class Misleading:
    """A word that led requests to an agent which was the wrong one, with how often it was and was not."""

    agent: str
    word: str
    wrong: int
    right: int


def misleading(past: Sequence[PastRoutes], least: int = 2) -> list[Misleading]:
    """Returns words that are over-represented in the outcomes that went badly with an agent, the worst first.

    A word is listed when it occurs in at least `least` bad outcomes of the agent, and there more often, in
    proportion, than in its good ones.
    """
    tallies: dict[tuple[str, bool], Counter[str]] = {}
    totals: Counter[tuple[str, bool]] = Counter()
    for case in past:
        group = (case.agent, case.good)
        totals[group] += 1
        tallies.setdefault(group, Counter()).update(dict.fromkeys(_content(case.text), 1))
    ranking: list[tuple[float, Misleading]] = []
    for (agent, good), tally in tallies.items():
        if good:
            continue
        fine, count = tallies.get((agent, True), Counter[str]()), (totals[agent, False], totals[agent, True])
        for word, wrong in tally.items():
            odds = _odds(wrong, count[0]) - _odds(fine[word], count[1])
            if wrong >= least and odds > 0:
                ranking.append((odds * wrong, Misleading(agent, word, wrong, fine[word])))
    return [word for _, word in sorted(ranking, key=lambda pair: (-pair[0], pair[1].agent, pair[1].word))]


def content(source: str) -> frozenset[str]:
    """Returns the stems of the content words of a request."""
    return frozenset(stem for stem in tokenizer.stems(excerpts.request(source)) if stem not in tokenizer.STOP)


def _content(source: str) -> list[str]:
    """Returns the content words of a request as written, one for each stem."""
    forms = {
        word.stem: word.form
        for word in reversed(tokenizer.words(excerpts.request(source)))
        if word.stem not in tokenizer.STOP
    }
    return list(forms.values())


def _odds(count: int, total: int) -> float:
    return math.log((count + 0.5) / (total - count + 0.5))
