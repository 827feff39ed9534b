"""Groups of many agents: rosters, and the folders, subjects or shared words of a large one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.agents import agent_groups, loader

FOLDERS = ("data", "web", "mobile")


def places(*names: str, folder: str = "", subject: str = "") -> list[agent_groups.GroupPlace]:
    return [agent_groups.GroupPlace(name, "team", folder, subject) for name in names]


def many(kind: str, count: int = 10) -> list[str]:
    return [f"{kind}-{chr(97 + number)}x" for number in range(count)]


def test_a_small_roster_is_one_group() -> None:
    rows = [*places(*many("web", 5)), agent_groups.GroupPlace("own", "user")]
    assert agent_groups.names(rows) == ["team"] * 5 + ["user"]


def test_a_large_roster_is_divided_by_its_folders() -> None:
    rows = [row for folder in FOLDERS for row in places(*many(f"{folder}s"), folder=folder)]
    assert Counter(agent_groups.names(rows)) == dict.fromkeys(FOLDERS, 10)


def test_without_folders_by_what_the_files_say_that_they_are_about() -> None:
    rows = [row for subject in FOLDERS for row in places(*many(f"{subject}s"), subject=subject)]
    assert Counter(agent_groups.names(rows)) == dict.fromkeys(FOLDERS, 10)


def test_else_by_the_words_that_their_names_share_but_not_by_one_that_nearly_all_have() -> None:
    rows = places(*(f"{name}-agent" for kind in FOLDERS for name in many(kind)))
    assert Counter(agent_groups.names(rows)) == dict.fromkeys(FOLDERS, 10)


def test_a_division_that_leaves_nearly_all_together_is_none() -> None:
    rows = [*places(*many("web", 30), folder="all"), *places("b-y", "c-y", "d-y", folder="few")]
    assert set(agent_groups.names(rows)) == {"team"}


@given(
    st.lists(
        st.builds(
            agent_groups.GroupPlace,
            st.text(alphabet="ab-c ", min_size=1, max_size=6),
            st.sampled_from(["", "r", "s"]),
            st.sampled_from(["", "f", "g"]),
            st.sampled_from(["", "x", "y"]),
        ),
        max_size=60,
    )
)
def test_every_agent_has_one_group_whatever_the_rest(rows: list[agent_groups.GroupPlace]) -> None:
    groups = agent_groups.names(rows)
    assert len(groups) == len(rows)
    assert all(group or not place.roster for group, place in zip(groups, rows, strict=True))


def test_a_group_of_a_folder_can_be_asked_for_as_a_roster_can(tmp_path: Path) -> None:
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        for name in many(folder):
            text = f"---\nname: {name}\ndescription: Knows {folder}.\n---\nBody\n"
            (tmp_path / folder / f"{name}.md").write_text(text, encoding="utf-8")
    agents = loader.load(tmp_path)
    assert Counter(agents.groups) == dict.fromkeys(FOLDERS, 10)
    assert {agent.folder for agent in agents.roster("web").agents} == {"web"}
    with pytest.raises(errors.UnknownHandle, match="no roster 'desktop'"):
        agents.roster("desktop")


def test_a_group_is_named_after_what_agents_are_for_and_not_after_what_they_are() -> None:
    names = [f"{subject}-{n}-specialist" for subject in ("risk", "budget", "harbour") for n in range(9)]
    assert Counter(agent_groups.names(places(*names, "lone-specialist"))) == {
        **dict.fromkeys(("risk", "budget", "harbour"), 9),
        "team": 1,
    }
