"""What the root of a workspace shows: packages its manifests depend on, and the names there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import rosters, workspace_signs


def packages(folder: Path, name: str, content: str) -> frozenset[str]:
    (folder / name).write_text(content, encoding="utf-8")
    return workspace_signs.read(folder).dependencies


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("requirements.txt", "Flask==3.0\nrequests [socks]>=2\n\n# comment\n-r other.txt\n", {"flask", "requests"}),
        ("requirements-test.in", "PyTest\n", {"pytest"}),
        ("pyproject.toml", "[project]\ndependencies = ['a>=1', 'b_c']\n", {"a", "b-c"}),
        ("pyproject.toml", "[project.optional-dependencies]\nx = ['d']\n[dependency-groups]\ny = ['e']\n", {"d", "e"}),
        ("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3'\nF = '1'\n", {"python", "f"}),
        ("pyproject.toml", "project = 3\n", set[str]()),
        ("pyproject.toml", "dependencies = [\n", set[str]()),
        ("package.json", '{"dependencies": {"react": "18"}, "devDependencies": {"@a/b": "1"}}', {"react", "@a/b"}),
        ("package.json", '{"dependencies": 3}', set[str]()),
        ("package.json", "[]", set[str]()),
        ("composer.json", '{"require": {"laravel/framework": "11"}}', {"laravel/framework"}),
        ("Gemfile", 'source "x"\ngem "rails", "7"\n', {"source", "rails"}),
        ("go.mod", "module a\n\nrequire github.com/gin-gonic/gin v1\n", {"module", "github.com/gin-gonic/gin"}),
        ("Cargo.toml", "[dependencies]\nserde = '1'\n", {"serde"}),
        ("README.md", "flask\n", set[str]()),
    ],
)
def test_a_manifest_names_the_packages_of_a_project(tmp_path: Path, name: str, content: str, names: set[str]) -> None:
    assert packages(tmp_path, name, content) == names


def test_the_names_at_the_root_are_signs_and_deeper_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "requirements.txt").write_text("flask\n")
    signs = workspace_signs.read(tmp_path)
    assert signs == rosters.Signs(files=frozenset({"notebooks"}))


def test_a_workspace_that_is_not_there_shows_nothing(tmp_path: Path) -> None:
    assert workspace_signs.read(tmp_path / "gone") == rosters.NO_SIGNS
    assert workspace_signs.stamp(tmp_path / "gone") == ()


@pytest.mark.parametrize("kind", ["link", "folder", "latin"])
def test_what_is_no_plain_text_file_names_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "requirements.txt"
    if kind == "link":
        (tmp_path / "elsewhere").write_text("flask\n")
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe\x00")
    assert workspace_signs.read(tmp_path).dependencies == frozenset()


def test_the_stamp_changes_with_a_manifest_and_with_a_name(tmp_path: Path) -> None:
    stamps = [workspace_signs.stamp(tmp_path)]
    for name, content in (("requirements.txt", "a\n"), ("requirements.txt", "a\nb\n"), ("notebooks", "")):
        (tmp_path / name).write_text(content)
        stamps.append(workspace_signs.stamp(tmp_path))
    assert len(set(stamps)) == len(stamps)
    assert workspace_signs.stamp(tmp_path) == stamps[-1]


@given(st.text(max_size=300))
def test_any_declaration_is_a_roster(declaration: str) -> None:
    roster = rosters.read("one", declaration)
    assert roster.evidence(rosters.NO_SIGNS) == ""


def test_a_roster_says_what_switches_it_on() -> None:
    roster = rosters.read("web", "for: web\nwhen: {dependencies: [Flask], files: [app.py]}", "all")
    assert (roster.about, roster.group, roster.always) == ("web", "all", False)
    assert roster.evidence(rosters.Signs(dependencies=frozenset({"flask"}))) == "flask is a dependency"
    assert roster.evidence(rosters.Signs(files=frozenset({"app.py"}))) == "app.py is in the workspace"
    assert rosters.read("web", "when: {always: true}").always


def test_internal_rosters_are_marked() -> None:
    assert rosters.read("council", "internal: true").internal
    assert not rosters.read("council", "internal: maybe").internal


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "package.json", "Gemfile", "go.mod"])
@given(data=st.binary(max_size=300))
def test_any_bytes_in_a_manifest_are_read(tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("project")
    (folder / name).write_bytes(data)
    assert all(package == package.lower() for package in workspace_signs.read(folder).dependencies)


def test_only_the_beginning_of_a_huge_manifest_is_read(tmp_path: Path) -> None:
    filler = "# filler\n" * (workspace_signs.MAX_BYTES // 9 + 10)
    assert packages(tmp_path, "requirements.txt", f"first\n{filler}last\n") == {"first"}


def test_a_declaration_may_name_one_thing_without_a_list() -> None:
    roster = rosters.read("web", "when: {dependencies: 'Flask, Quart', files: app.py}")
    assert (roster.dependencies, roster.files) == (("flask", "quart"), ("app.py",))


def test_dependencies_are_told_before_files() -> None:
    roster = rosters.read("web", "when: {dependencies: [flask], files: [app.py]}")
    both = rosters.Signs(dependencies=frozenset({"flask"}), files=frozenset({"app.py"}))
    assert roster.evidence(both) == "flask is a dependency"
