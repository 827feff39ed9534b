"""Whether finished work still stands, as the store decides it from what files look like now."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors, model
from dispatch_mcp.model import ports
from dispatch_mcp.store import standing_work
from dispatch_mcp.text import file_states

STATES = "abcd"
PATHS = ("x.py", "y.py")
LEFT = st.dictionaries(
    st.sampled_from(PATHS), st.builds(model.Footprint, st.none() | st.sampled_from(STATES), st.sampled_from(STATES))
)


def look_at(now: Mapping[str, str], *results: Mapping[str, model.Footprint], asked: list[str] | None = None) -> str:
    """Returns what has moved of the first of these results while files are in these states."""

    def states(_workspace: str, paths: Collection[str]) -> dict[str, str]:
        if asked is not None:
            asked.extend(paths)
        return {path: now.get(path, "") for path in paths}

    return standing_work.StandingCheck(states, "/shop", lambda number: results[number], range(len(results))).gap(0)


def path_in(gap: str) -> str:
    """Returns the file that a sentence about work that does not stand names first; an empty text for none."""
    return gap.split("`")[1] if gap else ""


def reachable(path: str, state: str, results: Collection[Mapping[str, model.Footprint]]) -> set[str]:
    """Returns the states to which results lead on from the first one's, tried in every order."""
    steps = [(number, result[path]) for number, result in enumerate(results) if path in result]
    ends = {state}
    for count in range(1, len(steps) + 1):
        for order in itertools.permutations(steps, count):
            at = state
            for number, step in order:
                if step.before != at and not (step.before is None and number > 0):
                    break
                at = step.after
            else:
                ends.add(at)
    return ends


@given(LEFT, st.lists(LEFT, max_size=4), st.fixed_dictionaries(dict.fromkeys(PATHS, st.sampled_from(STATES))))
def test_work_stands_while_each_of_its_files_is_as_it_or_what_followed_it_left_it(
    left: dict[str, model.Footprint], others: list[dict[str, model.Footprint]], now: dict[str, str]
) -> None:
    results = (left, *others)
    moved = [path for path, step in left.items() if now[path] not in reachable(path, step.after, results)]
    assert path_in(look_at(now, *results)) == next(iter(moved), "")


@given(LEFT)
def test_every_file_is_looked_at_once(left: dict[str, model.Footprint]) -> None:
    asked: list[str] = []
    look_at({}, left, asked=asked)
    assert sorted(asked) == sorted(left)


def test_work_that_noted_nothing_and_work_without_a_workspace_stand() -> None:
    assert look_at({"x.py": "a"}, {}) == ""
    left = {"x.py": model.Footprint("a", "b")}
    assert standing_work.StandingCheck(ports.no_states, "", lambda _: left, [0]).gap(0) == ""


@given(st.sets(st.integers(0, 2)), st.sampled_from(STATES))
def test_a_stored_result_that_is_lost_is_work_of_nobody_and_hides_none_of_the_rest(lost: set[int], now: str) -> None:
    results = [{"x.py": model.Footprint(before, after)} for before, after in (("a", "b"), ("b", "c"), ("c", "d"))]

    def read(number: int) -> Mapping[str, model.Footprint]:
        if number in lost:
            raise errors.UnknownHandle("Nothing is stored under it.")
        return results[number]

    standing = standing_work.StandingCheck(lambda _workspace, paths: dict.fromkeys(paths, now), "/shop", read, range(3))
    assert {number for number in range(3) if standing.is_lost(number)} == lost
    for number in {0, 1, 2} - lost:
        rest = [result if at not in lost else {} for at, result in enumerate(results)]
        left = results[number]["x.py"].after
        assert path_in(standing.gap(number)) == ("" if now in reachable("x.py", left, rest) else "x.py")


def test_files_that_were_too_much_to_look_at_do_not_stand_and_looking_ends() -> None:
    seconds, asked = [0.0], list[str]()

    def states(_workspace: str, paths: Collection[str]) -> dict[str, str]:
        seconds[0] += standing_work.LOOK_S * 0.6
        asked.extend(paths)
        return {path: file_states.UNREAD if path == "1" else "a" for path in paths}

    def read(number: int) -> Mapping[str, model.Footprint]:
        return {str(number): model.Footprint("", file_states.UNREAD if number == 1 else "a")}

    standing = standing_work.StandingCheck(states, "/shop", read, range(5), lambda: seconds[0])
    gaps = [standing.gap(number) for number in range(5)]
    assert [path_in(gap) for gap in gaps] == ["", "1", "2", "3", "4"]
    assert all("too much to look at" in gap for gap in gaps[1:])
    assert asked == ["0", "1"]
