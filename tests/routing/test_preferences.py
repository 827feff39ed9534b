"""What moves scores beside the words: misfits fall, and a user's own agents come before equal ones of ours."""

from __future__ import annotations

from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.routing import agent_index, preferences, request_reader, scoring


def agent(name: str, description: str, layer: catalog.Layer = "bundled") -> catalog.Agent:
    return catalog.Agent(name=name, description=description, sha256=name, layer=layer, roster=layer)


def moved(
    request_: str, *agents: catalog.Agent, misfits: frozenset[int] = frozenset()
) -> tuple[list[str], scoring.Scores]:
    """Returns the order of the agents, and the scores that it comes from."""
    known = catalog.merge(agents, words=loader.words())
    index = agent_index.index_of(known)
    reading = request_reader.read(request_, index, known.words)
    scores = preferences.preferred(scoring.score(reading, index), reading, index, known, misfits)
    return [known.keys[place] for place in scores.best], scores


OURS = agent("ours", "Kilns and glazes.")
THEIRS = agent("theirs", "Kilns.", "project")
OTHER = agent("xother", "Gardens.", "user")


def test_a_misfit_falls_behind_everybody() -> None:
    order, scores = moved("Fire the kilns with glazes", OURS, agent("second", "Gardens."), misfits=frozenset({0}))
    assert order == ["second", "ours"]
    assert scores.shares[0] < 1e-6


def test_without_misfits_and_own_agents_nothing_moves() -> None:
    known = catalog.merge([OURS, agent("second", "Gardens.")], words=loader.words())
    index = agent_index.index_of(known)
    reading = request_reader.read("kilns", index, known.words)
    scores = scoring.score(reading, index)
    assert preferences.preferred(scores, reading, index, known, frozenset()) is scores


def test_an_own_agent_passes_a_shipped_one_for_which_no_other_word_speaks() -> None:
    assert moved("Fire the kilns", OURS, THEIRS, OTHER)[0][0] == "theirs"


def test_a_shipped_agent_that_knows_more_of_the_words_may_stay_first() -> None:
    many = agent("ours", "Kilns, glazes, pottery wheels, firing curves and slips.")
    order, _ = moved("Firing curves for glazes, slips and pottery wheels in kilns", many, THEIRS, OTHER)
    assert order[0] == "ours"


def test_an_own_agent_for_which_no_word_speaks_gains_nothing() -> None:
    order, scores = moved("Fire the kilns", OURS, OTHER)
    assert order[0] == "ours"
    assert scores.logits[1] < scores.logits[0]
