"""How long the next answer of a model may be, below what an attempt was given."""

from __future__ import annotations

from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.planning import forecast

LEAST_TOKENS: Final = 512
"""With less room below its ceiling an attempt asks nothing more."""

_MILLION: Final = 1_000_000


class Room(NamedTuple):
    """How many tokens an answer may have; `stopper` is the ceiling that allows no more, empty for none."""

    tokens: int
    stopper: str = ""

    @property
    def is_enough(self) -> bool:
        """Whether an answer of that length is worth asking for."""
        return self.tokens >= LEAST_TOKENS


def room(
    most: int, ceiling: model.TaskLimits, usage: model.Usage, prompt: tuple[str, int], price: forecast.Price
) -> Room:
    """Returns the room that the next answer has at worst, `most` if no ceiling allows less.

    `usage` is what the attempt has used so far; `prompt` is the name of the model and the tokens that it will read.
    """
    name, prompt_tokens = prompt
    rooms = [Room(most)]
    if ceiling.tokens is not None:
        rooms.append(Room(ceiling.tokens - usage.tokens - prompt_tokens, "tokens"))
    if ceiling.dollars is not None:
        # At worst nothing is read from the cache and all is written to it, which costs a quarter more than fresh. Both
        # prices are of this prompt: a long one makes its answer dearer too.
        reading = model.Usage(cache_write_tokens=prompt_tokens)
        without = price(name, reading)
        with_a_million = price(name, reading.model_copy(update={"output_tokens": _MILLION}))
        if without is not None and with_a_million is not None:
            of_a_token = max(with_a_million - without, 1e-9) / _MILLION
            rest = ceiling.dollars - (usage.cost_usd or 0.0) - without
            rooms.append(Room(int(rest / of_a_token), "dollars"))
    return min(rooms)
