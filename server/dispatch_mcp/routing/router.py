"""Routing: which agent of a catalogue should do what a text asks for, how sure that is, and why.

Rules (docs/rules.md#routing): specialists with keywords and a fallback, a priority order, a secondary and a
tertiary route, transparent reasons. Scores replace the first-match substring rule (docs/routing.md has the
decided contradictions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import (
    agent_index,
    confidence,
    learning,
    model_choice,
    offers,
    preferences,
    request_parts,
    request_reader,
    route_evidence,
    scoring,
    suitability,
    word_vectors,
)

MODELS = model_choice.MODELS
Effort = model.Effort
Evidence = route_evidence.QuoteEvidence
Factor = confidence.Factor
Strategy = confidence.Strategy
MAX_RANKED = 8
MAX_EVIDENCE = 8
MAX_MATCHED = 3
"""Words of the request that are shown for an agent to choose from."""
BY_WORDS = 3
"""Of five of hundreds those whom the words name; with two of the nearest in meaning the five held the right one in .738
of 267 unsure requests of seven authors, with words alone in .712."""
CLOSE = 0.6
"""A runner-up with this share of the first one's share makes a request ambiguous."""

SURE = confidence.Bands().review
"""The confidence from which on an agent is named; below, several are offered."""

CLAIM = 0.15
"""The share from which on an agent has a real claim to a request: with several of them the work is larger."""

SECOND = 0.05
"""The share from which on a runner-up is a fallback; all three set by hand."""

PART = 0.69
"""The confidence from which on a part of a request counts as another agent's; below what a single word is worth."""

NEVERTHELESS = 3
"""Agents that the words alone would choose who are offered among the others although they do not suit."""

STRANGE = 0.5
"""Log odds by which, among the others, who is named after a technology that nobody mentions stands farther back."""

ABSENT = 0.2
"""What is left of the probability that a request is for this roster when one that is off has a likelier agent."""

CLAIMED = 0.64
"""The confidence below which no specialist claims a request, and from which on an agent that is off does."""

GENERAL = 0.69
"""How sure it is that who does ordinary work is right for a request about code that no specialist claims: 15 of 20 of
three authors' requests were right."""


class Hints(model.Value):
    """What the caller knows: urgency, files, an explicit model, and factors from 0 to 1.

    Factors: docs/rules.md#confidence-factors.

    `files` are those that the request is about; with `changes_files` the work is known to change them.
    """

    urgency: Literal["low", "normal", "high"] = "normal"
    files: tuple[str, ...] = ()
    changes_files: bool = False
    model: str = ""
    resources: float | None = Field(default=None, ge=0, le=1)
    clarity: float | None = Field(default=None, ge=0, le=1)
    complexity_match: float | None = Field(default=None, ge=0, le=1)
    past_successes: float | None = Field(default=None, ge=0, le=1)
    bands: confidence.Bands = confidence.Bands()


NO_HINTS = Hints()


NO_HISTORY = learning.NO_HISTORY
History = learning.History
Past = learning.PastRoutes


class Candidate(model.Value):
    """One agent with its share of the ranking (all shares add up to 1) and what speaks for it."""

    name: str
    share: float
    evidence: tuple[Evidence, ...] = ()


class Route(model.Value):
    """The answer to a request. `specialist` is None when the router abstains; then `question` says what to ask.

    `confidence` is the calibrated probability that `ranked[0]` is right, of a request in parts that each part's agent
    is. `readiness` is the weighted mean of
    `factors`; the strategy follows the lower of both. `fallback` are the secondary, tertiary … routes. `offer` is what
    a model chooses from; `general` who does the work when it chooses nobody.
    """

    specialist: str | None
    confidence: float
    ranked: tuple[Candidate, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    factors: tuple[Factor, ...] = ()
    readiness: float = 0.0
    strategy: Strategy = "human"
    model: str = ""
    model_reason: str = ""
    effort: Effort = Effort.M
    knowledge: str = ""
    warnings: tuple[str, ...] = ()
    question: str = ""
    try_words: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    why: str = ""
    offer: offers.AgentOffer = offers.AgentOffer()
    general: str = ""

    @property
    def sure(self) -> bool:
        """Returns whether the first is named without a choice."""
        return self.specialist is not None and not self.offer.parts and self.confidence >= SURE


def route(text: str, catalog: catalog.Catalog, *, history: History = NO_HISTORY, hints: Hints = NO_HINTS) -> Route:
    """Returns who should do what `text` asks for, with reasons; every text gives an answer.

    Raises:
        InputError: `hints.model` is no known model.
    """
    if hints.model:
        model_choice.check(hints.model)
    if not catalog.routable:
        return Route(specialist=None, confidence=0.0, question="No agent is installed.", why="The roster is empty.")
    return _Routing.of(text, catalog, history, hints).route()


def runners_up(text: str, agents: catalog.Catalog, name: str) -> tuple[str, ...]:
    """Returns who would get what `text` asks for if the agent of that name were not there, the best first.

    How sure the route is does not matter: somebody has chosen that agent, so the work is of a kind that is done here.
    """
    answer = route(text, agents)
    likely = [candidate.name for candidate in answer.ranked if candidate.evidence and candidate.share >= SECOND]
    names = (*likely, *answer.fallback)
    return tuple(dict.fromkeys(other for other in names if other != name))


@dataclass(frozen=True, slots=True)
class _Routing:
    """One request on its way through reading, scoring and certainty to an answer."""

    text: str
    catalog: catalog.Catalog
    hints: Hints
    request: request_reader.Request
    scores: scoring.Scores
    sure: confidence.Certainty
    similar: learning.Similar | None
    misfits: frozenset[int]
    by_words: Sequence[int] = ()
    absent: str = ""

    @staticmethod
    def of(request: str, agents: catalog.Catalog, history: History, hints: Hints) -> _Routing:
        index = agent_index.index_of(agents)
        reading = request_reader.read(request, index, agents.words)
        misfits = suitability.misfits(request, hints.files, agents, changes_files=hints.changes_files)
        scores = scoring.score(reading, index, learning.bonus(history, reading, agents))
        by_words = scores.best[:NEVERTHELESS]
        scores = preferences.preferred(scores, reading, index, agents, misfits)
        sure = _certainty(reading, scores, index, has_general=agents.general is not None)
        general = agents.general
        absent = "" if general and request_parts.names_places(request) else _absent(request, agents, hints)
        if absent:
            sure = confidence.Certainty(sure.in_scope * ABSENT, sure.right)
        elif general and sure.confidence < CLAIMED and request_parts.names_code(request):
            scores, sure = _put_first(scores, agents.routable.index(general)), confidence.Certainty(1.0, GENERAL)
        similar = learning.similar(history, reading, agents, scores.best[0])
        return _Routing(request, agents, hints, reading, scores, sure, similar, misfits, by_words, absent)

    @property
    def abstains(self) -> bool:
        """Whether nobody is a likely home, or the likeliest must not do this."""
        return self.sure.abstains or self.scores.best[0] in self.misfits

    @property
    def _is_general(self) -> bool:
        """Whether who does ordinary work comes first: what tells specialists apart says nothing of that."""
        return self.catalog.routable[self.scores.best[0]] is self.catalog.general

    def route(self) -> Route:
        best = self.scores.best[:MAX_RANKED]
        candidates = tuple(self._candidate(place, rank) for rank, place in enumerate(best))
        agent = self.catalog.routable[best[0]]
        offer = self._offer()
        sure = round(self._confidence(offer.parts), 4)
        factors = self._factors()
        ready = round(confidence.readiness(factors), 4)
        whole = min(sure, confidence.ONE_WORD) if offer.parts else sure
        strategy = confidence.strategy(whole, whole if self._is_general else ready, self.hints.bands)
        size = model_choice.effort(self.request.source, sum(candidate.share > CLAIM for candidate in candidates))
        name, reason, refusal = self._model(agent, size, strategy)
        knowledge, missing = self._knowledge(agent)
        return Route(
            specialist=None if self.abstains else candidates[0].name,
            confidence=sure,
            ranked=candidates,
            evidence=candidates[0].evidence,
            factors=factors,
            readiness=ready,
            strategy="human" if refusal or self.abstains else strategy,
            model=name,
            model_reason=reason,
            effort=size,
            knowledge=knowledge,
            warnings=tuple(filter(None, (missing, refusal, _untrusted(agent)))),
            question=self._question(candidates),
            try_words=self._try_words(candidates),
            fallback=self._fallback(candidates),
            why=self._why(candidates, sure),
            offer=offer,
            general=self._general(),
        )

    def _confidence(self, parts: Sequence[offers.RequestPart]) -> float:
        """Returns how sure the first is; of a request in parts how sure the least sure of their agents is."""
        index = agent_index.index_of(self.catalog)
        readings = [request_reader.read(part.words, index, self.catalog.words) for part in parts]
        has_general = self.catalog.general is not None
        sure = [
            confidence.certainty(reading, scoring.score(reading, index), index, has_general=has_general)
            for reading in readings
        ]
        return min((each.confidence for each in sure), default=self.sure.confidence)

    def _offer(self) -> offers.AgentOffer:
        """Returns five to choose from: the parts' own, the likeliest, and who does ordinary work; then the others.

        Of hundreds the words name three, and the meaning two.
        """
        keys, parts = self.catalog.keys, self._parts()
        near = word_vectors.nearest(self.text, self.catalog) if len(keys) > offers.NAMED else []
        best = [*self.scores.best[:BY_WORDS], *near[: offers.FIVE], *self.scores.best[BY_WORDS:]]
        fits = [place for place in best if place not in self.misfits]
        general = self.catalog.general
        last = [] if general is None else [self.catalog.routable.index(general)]
        part_agents = {part.agent for part in parts}
        order = [*(place for place, key in enumerate(keys) if key in part_agents), *fits]
        five = list(dict.fromkeys(order))[: offers.FIVE]
        if last and last[0] not in (*five, *self.misfits):
            five[offers.FIVE - 1 :] = last
        beyond = [keys[place] for place in self._others(five, near)]
        group_of = dict(zip(keys, self.catalog.groups, strict=True)).__getitem__ if len(keys) > offers.NAMED else str
        names, groups = offers.beyond_five(beyond, group_of)
        return offers.AgentOffer(
            choices=tuple(self._choice(place) for place in five),
            rest=names,
            groups=groups,
            off=tuple(roster.name for roster in self.catalog.off),
            absent=self.absent,
            switched_on=self.catalog.switched_on,
            tie=self._tie(),
            parts=parts,
        )

    def _others(self, five: Sequence[int], near: Sequence[int]) -> list[int]:
        """Returns the places beyond the five, the likeliest first, of as many groups as are likely.

        Before all others stand those whom the words alone would choose: that they do not suit may be a misreading. Who
        is named after a technology that nobody mentions stands behind those who are as likely. Of hundreds every other
        one is the next in meaning: half of those whom no word names are found so.
        """
        strangers = suitability.without_mention(self.text, self.hints.files, self.catalog)
        logits = [logit - STRANGE * (place in strangers) for place, logit in enumerate(self.scores.logits)]
        first = [place for place in self.by_words if place not in five]
        order = sorted(range(len(logits)), key=lambda place: (-logits[place], place))
        rest = [place for place in order if place not in (*five, *first)]
        if len(logits) > offers.NAMED:
            rest = offers.spread(rest, logits, self.catalog.groups)
            rest = offers.in_turn([place for place in near if place not in (*five, *first)], rest)
        return [*first, *rest]

    def _general(self) -> str:
        """Returns who does ordinary work, unless that must not do this."""
        general = self.catalog.general
        if general is None or self.catalog.routable.index(general) in self.misfits:
            return ""
        return self.catalog.key(general)

    def _choice(self, place: int) -> offers.OfferedAgent:
        quotes = [piece.quote for piece in route_evidence.evidence_for(self.request, self.catalog, place, MAX_MATCHED)]
        about = offers.about(self.catalog.routable[place].description)
        return offers.OfferedAgent(agent=self.catalog.keys[place], about=about, hits=tuple(quotes))

    def _tie(self) -> tuple[str, ...]:
        equal = [] if self.abstains else confidence.equals(self.scores)
        return tuple(self.catalog.keys[place] for place in (self.scores.best[0], *equal)) if equal else ()

    def _parts(self) -> tuple[offers.RequestPart, ...]:
        """Returns the parts of the request if they clearly belong to different agents."""
        words = request_parts.parts(self.text)
        if len(words) < 2:
            return ()
        routings = [_Routing.of(part, self.catalog, NO_HISTORY, self.hints) for part in words]
        own = [
            offers.RequestPart(words=part, agent=self.catalog.keys[routing.scores.best[0]])
            for part, routing in zip(words, routings, strict=True)
            if not routing.abstains and routing.sure.confidence >= PART
        ]
        return tuple(own) if len({part.agent for part in own}) > 1 else ()

    def _candidate(self, place: int, rank: int) -> Candidate:
        most = MAX_EVIDENCE if rank == 0 else 2 if rank < 3 else 0
        evidence = route_evidence.evidence_for(self.request, self.catalog, place, most) if most else ()
        if rank == 0:
            evidence = learning.with_history(evidence, self.similar, self.request, most)
        return Candidate(name=self.catalog.keys[place], share=round(self.scores.shares[place], 4), evidence=evidence)

    def _factors(self) -> tuple[Factor, ...]:
        sure, hints = self.sure.confidence, self.hints
        clear = round(confidence.clarity(self.request, self.scores), 4)
        rate, count = learning.success(self.similar, sure)
        urgency = {"low": 1.0, "normal": None, "high": 0.5}[hints.urgency]
        return (
            confidence.factor("clarity", hints.clarity, clear, "words with a meaning here, and one clear favourite"),
            confidence.factor("past_successes", hints.past_successes, rate, count, otherwise=sure),
            confidence.factor("complexity_match", hints.complexity_match, round(sure, 4), "the routing probability"),
            confidence.factor("resources", hints.resources, None, "", otherwise=sure),
            confidence.factor("time_pressure", urgency, None, "", otherwise=sure),
        )

    def _model(self, agent: catalog.Agent, size: Effort, strategy: Strategy) -> tuple[str, str, str]:
        """Returns the model, the reason, and why the agent's own model is refused."""
        if self.hints.model:
            return self.hints.model, "asked for explicitly", ""
        if agent.model and model_choice.exists(agent.model):
            return agent.model, f"declared by {agent.name}", ""
        if agent.model:
            return "", "the declared model is unknown", f"{agent.name} declares the unknown model {agent.model[:60]!r}."
        return (*model_choice.choose(self.request.source, size, strategy), "")

    def _knowledge(self, agent: catalog.Agent) -> tuple[str, str]:
        """Returns the agent's document, or the fallback agent's with a warning when it is missing."""
        if agent.knowledge not in self.catalog.missing or not agent.knowledge:
            return agent.knowledge, ""
        instead = next((other for other in self._fallback_agents() if other.roster == agent.roster), None)
        spare = instead.knowledge if instead and instead.knowledge not in self.catalog.missing else ""
        substitute = f" {spare} stands in." if spare else " General knowledge has to do."
        return spare, f"The knowledge document {agent.knowledge!r} is missing.{substitute}"

    def _fallback_agents(self) -> list[catalog.Agent]:
        return [self.catalog.routable[place] for place in agent_index.index_of(self.catalog).fallbacks]

    def _fallback(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Returns secondary routes by share, then the roster's declared fallback as the tertiary one."""
        second = [candidate.name for candidate in candidates[1:3] if candidate.share >= SECOND]
        home = self.catalog.routable[self.scores.best[0]].roster
        own = [agent for agent in self._fallback_agents() if agent.roster == home]
        last = [self.catalog.key(agent) for agent in own or self._fallback_agents()]
        return tuple(dict.fromkeys(name for name in (*second, *last[:1]) if name != candidates[0].name))

    def _question(self, candidates: Sequence[Candidate]) -> str:
        close = self._close(candidates)
        if self.abstains:
            return (
                "Nobody in this roster clearly does this. Which part of the system is it about, and what should change?"
            )
        if len(close) > 1 and self.sure.confidence < self.hints.bands.review:
            return f"Is this more for {' or '.join(candidate.name for candidate in close)}?"
        return ""

    def _close(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return [candidate for candidate in candidates[:3] if candidate.share >= CLOSE * candidates[0].share]

    def _try_words(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Returns words that would settle the question: keywords of the agents in question."""
        if not self._question(candidates):
            return ()
        words: list[str] = []
        for candidate in candidates[:3]:
            agent = self.catalog.find(candidate.name)
            words.extend(agent.keywords[:3] if agent and agent.keywords else _name_words(candidate.name))
        return tuple(dict.fromkeys(words))[:9]

    def _why(self, candidates: Sequence[Candidate], sure: float) -> str:
        quotes = ", ".join(piece.words for piece in candidates[0].evidence[:3])
        reasons = quotes or "no word that any agent knows"
        if self.abstains:
            return f"No agent is a likely home for this: the closest, {candidates[0].name}, rests on {reasons}."
        close = [candidate.name for candidate in self._close(candidates)[1:]]
        rivals = f"; close: {', '.join(close)}" if close else ""
        return f"{candidates[0].name} with confidence {sure:.2f}, because of {reasons}{rivals}."


def _certainty(
    request: request_reader.Request, scores: scoring.Scores, index: agent_index.AgentIndex, *, has_general: bool
) -> confidence.Certainty:
    sure = confidence.certainty(request, scores, index, has_general=has_general)
    if confidence.is_example(scores):
        return sure
    matches = confidence.words_for(request, index, scores.best[0])
    is_work = suitability.work(request.source) != "other" or request_parts.names_code(request.source)
    return confidence.bounded(sure, matches, len(confidence.equals(scores)), is_work=is_work)


def _absent(request: str, agents: catalog.Catalog, hints: Hints) -> str:
    """Returns the agent of a roster that is off, if the request is rather for it than for anybody who takes part."""
    siblings = agents.with_siblings
    if siblings is agents:
        return ""
    index = agent_index.index_of(siblings)
    reading = request_reader.read(request, index, siblings.words)
    misfits = suitability.misfits(request, hints.files, siblings, changes_files=hints.changes_files)
    scores = preferences.preferred(scoring.score(reading, index), reading, index, siblings, misfits)
    first = siblings.routable[scores.best[0]]
    sure = _certainty(reading, scores, index, has_general=siblings.general is not None)
    is_off = first.roster not in (agents.scope or ())
    return siblings.key(first) if is_off and sure.confidence >= CLAIMED else ""


def _put_first(scores: scoring.Scores, place: int) -> scoring.Scores:
    rest = [other for other in scores.best if other != place]
    return scoring.Scores(scores.features, scores.logits, scores.shares, [place, *rest][: scoring.MAX_BEST])


def _untrusted(agent: catalog.Agent) -> str:
    if agent.trusted:
        return ""
    return f"{agent.name} comes from the {agent.layer} and is not trusted: it gets no tools or model of its own choice."


def _name_words(name: str) -> list[str]:
    return [word for word in name.rsplit("/", 1)[-1].replace("_", "-").split("-") if word]
