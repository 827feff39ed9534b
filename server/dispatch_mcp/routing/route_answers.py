"""Routes as a model reads them: who, when that is sure, else what to choose from; everything only on request."""

from __future__ import annotations

import json
from typing import Final, Literal

from dispatch_mcp import model
from dispatch_mcp.routing import offers, router
from dispatch_mcp.text import escape

View = Literal["short", "full"]
Answer = dict[str, model.Json]

SURE_SIZE: Final = 500
UNSURE_SIZE: Final = 1_000
"""Characters of an answer as JSON, at most."""

GROUPS_SIZE: Final = 80
"""Characters for the names of groups, the largest groups first."""

RUNNERS_UP: Final = 4
"""Names that a sure answer gives beside the first one."""

SHORTER: Final = (12, 9, 7, 5, 3, 0)
"""Words that say what each is for: fewer until the answer fits."""

SHORTER_OF_HUNDREDS: Final = (5, 3, 0)
"""The same where names are so many that some are left out: a reader finds more by a name than by what five are for."""

ENOUGH: Final = 15
ENOUGH_OF_UNLIKELY: Final = 40
"""Names beside the five of hundreds for which what the five are for is cut short: more where nobody is likely."""

MOST_TIED: Final = 3


def answer(route: router.Route, view: View = "short", *, then: str = "") -> Answer:
    """Returns a route for a model; `then` says what to do with a choice, in the caller's words."""
    if view == "full":
        return full(route)
    return sure(route) if route.sure else unsure(route, then)


def full(route: router.Route) -> Answer:
    """Returns everything about a route; who, how sure and the strategy also when they are empty."""
    whole: Answer = route.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"specialist": route.specialist, "confidence": route.confidence, "strategy": route.strategy, **whole}


def names_offered(route: router.Route) -> tuple[str, ...]:
    """Returns the names that a model sees in the short answer, in their order."""
    if route.sure:
        return (route.specialist or "", *_runners_up(route))
    return _Unsure(route).names_offered()


def sure(route: router.Route) -> Answer:
    """Returns who does it and why, in at most `SURE_SIZE` characters."""
    head = _head(route)
    first = route.offer.choices[0]
    optional: Answer = {
        "model": route.model,
        "or": list(_runners_up(route)),
        "switched_on": dict(route.offer.switched_on),
        "warning": escape.one_line(route.warnings[0], limit=120) if route.warnings else "",
        "for": first.about,
    }
    for key, value in optional.items():
        if value and _size({**head, key: value}) <= SURE_SIZE:
            head[key] = value
    return head


def _head(route: router.Route) -> Answer:
    return {
        "specialist": route.specialist,
        "confidence": round(route.confidence, 2),
        "strategy": route.strategy,
        "matched": [word[:40] for word in (route.offer.choices[0].hits if route.offer.choices else ())],
    }


def _runners_up(route: router.Route) -> tuple[str, ...]:
    return tuple(choice.agent for choice in route.offer.choices if choice.agent != route.specialist)[:RUNNERS_UP]


def unsure(route: router.Route, then: str = "") -> Answer:
    """Returns up to five to choose from, the names of the others, and what to ask, in `UNSURE_SIZE` characters."""
    return _Unsure(route, then).answer()


class _Unsure:
    """The unsure answer of a route, its optional parts cut until it fits."""

    def __init__(self, route: router.Route, then: str = "") -> None:
        self.route, self.offer, self.then = route, route.offer, then

    def answer(self) -> Answer:
        if self.offer.groups:
            return self._of_hundreds()[0]
        for words in SHORTER:
            answer = {**self._with(words, self.offer.rest), **self._extras()}
            if _size(answer) <= UNSURE_SIZE:
                return answer
            answer.pop("next", None)
            if words == SHORTER[-2] and _size(answer) <= UNSURE_SIZE:
                return answer
        answer = self._with(self._words(), self._rest())
        for key, value in self._extras().items():
            if _size({**answer, key: value}) <= UNSURE_SIZE:
                answer[key] = value
        return answer

    def _of_hundreds(self) -> tuple[Answer, tuple[str, ...]]:
        """Returns the answer of a roster too large to be named whole, and those of the others whom it names."""
        extras = {key: value for key, value in self._extras().items() if key != "next"}
        enough = ENOUGH if self.route.specialist else ENOUGH_OF_UNLIKELY
        answer, rest = self._with_names(SHORTER_OF_HUNDREDS[0], extras)
        for words in SHORTER_OF_HUNDREDS[1:]:
            if len(rest) >= enough:
                break
            answer, rest = self._with_names(words, extras)
        return answer, rest

    def _with_names(self, words: int, extras: Answer) -> tuple[Answer, tuple[str, ...]]:
        """Returns the answer with as many of the others as it has room for, and these."""
        fits: Answer = {}
        for key, value in extras.items():
            if _size({**self._with(words, ()), **fits, key: value}) <= UNSURE_SIZE:
                fits[key] = value
        rest = self._most(words, fits)
        return {**self._with(words, rest), **fits}, rest

    def names_offered(self) -> tuple[str, ...]:
        rest = self._of_hundreds()[1] if self.offer.groups else self._rest()
        return (*(choice.agent for choice in self.offer.choices), *rest)

    def _with(self, words: int, rest: tuple[str, ...]) -> Answer:
        head: Answer = {
            "specialist": self.route.specialist,
            "confidence": round(self.route.confidence, 2),
            "strategy": self.route.strategy,
            "choose_from": [_choice(choice, words) for choice in self.offer.choices],
        }
        return {**head, "others": offers.line(rest)} if rest else head

    def _extras(self) -> Answer:
        """Returns what else there is to say, what matters most first."""
        fields: Answer = {
            "split": {part.words[:60]: part.agent for part in self.offer.parts},
            "tie": [] if self.offer.parts else list(self.offer.tie[:MOST_TIED]),
            "groups": self._groups(),
            "off": self._off(),
            "ask": self._question(),
            "switched_on": dict(self.offer.switched_on),
            "next": self.then,
        }
        return {key: value for key, value in fields.items() if value}

    def _groups(self) -> str:
        text = ", ".join(self.offer.groups)
        return text if len(text) <= GROUPS_SIZE else text[:GROUPS_SIZE].rpartition(", ")[0]

    def _off(self) -> str:
        rather = f"{self.offer.absent} fits better; " if self.offer.absent else ""
        return f"{rather}rosters by name: {', '.join(self.offer.off)}" if self.offer.off else ""

    def _question(self) -> str:
        if self.offer.parts:
            return "These parts belong to different agents: split the request?"
        if self.offer.tie:
            return f"The words do not tell {' and '.join(self.offer.tie[:MOST_TIED])} apart: which?"
        return self.route.question if self.route.specialist else "Nobody clearly does this. What part is it about?"

    def _words(self) -> int:
        """Returns how many words say what each is for where there is little room."""
        return SHORTER[-2] if _size(self._with(SHORTER[-2], ())) <= UNSURE_SIZE else SHORTER[-1]

    def _rest(self) -> tuple[str, ...]:
        """Returns as many of the others as there is room for, the likeliest first."""
        return self._most(self._words(), {})

    def _most(self, words: int, extras: Answer) -> tuple[str, ...]:
        """Returns as many of the others as there is room for beside the extras, the likeliest first."""
        if _size({**self._with(words, self.offer.rest), **extras}) <= UNSURE_SIZE:
            return self.offer.rest
        least, most = 0, len(self.offer.rest)
        while least < most:
            middle = (least + most + 1) // 2
            fits = _size({**self._with(words, self.offer.rest[:middle]), **extras}) <= UNSURE_SIZE
            least, most = (middle, most) if fits else (least, middle - 1)
        return self.offer.rest[:least]


def _choice(choice: offers.OfferedAgent, words: int) -> dict[str, model.Json]:
    about = offers.first_words(choice.about, words)
    words_hit = ", ".join(word[:24] for word in choice.hits[: 3 if words > SHORTER[-2] else 1 if words else 0])
    fields: dict[str, model.Json] = {"agent": choice.agent, "for": about, "matched": words_hit}
    return {key: value for key, value in fields.items() if value}


def _size(answer: Answer) -> int:
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
