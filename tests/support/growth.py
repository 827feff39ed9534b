"""How the processor time of a call grows with its input: a ratio within one run, the same on every machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

ROUNDS = 12
"""Measurements after which a growth is believed: others who use the machine spoil some of them, never all."""

SURE = 3
"""Measurements of a short and a long input before they are compared: one of the short that was spoilt hides growth."""

UNFELT_S = 0.02
"""Seconds below which the clock cannot tell a growth from noise."""


STEPS, STEPS_S = 100_000, 0.003
"""Steps of an empty loop, and what they take where the bounds of the tests were measured."""


def slowness() -> float:
    """Returns how many times slower this machine is than the one of the bounds; 1.0 for one that is faster."""
    return max(1.0, best_s(lambda: sum(number & 7 for number in range(STEPS)), STEPS_S) / STEPS_S)


def cost_s(call: Callable[[], object]) -> float:
    """Returns the seconds of this thread's processor time that a call takes."""
    began = time.thread_time()
    call()
    return time.thread_time() - began


def best_s(call: Callable[[], object], enough_s: float, rounds: int = ROUNDS) -> float:
    """Returns the least that a call takes, in seconds of processor time; tries no more once that is `enough_s`."""
    best = math.inf
    for _ in range(rounds):
        best = min(best, cost_s(call))
        if best <= enough_s:
            break
    return best


def is_at_most(factor: float, call: Callable[[int], object], short: int, long: int) -> bool:
    """Returns whether a call of `long` costs at most `factor` times one of `short`, the best of each in turn."""
    short_s = long_s = math.inf
    for number in range(1, ROUNDS + 1):
        short_s = min(short_s, cost_s(lambda: call(short)))
        long_s = min(long_s, cost_s(lambda: call(long)))
        if number >= SURE and long_s <= factor * short_s + UNFELT_S:
            return True
    return False
