from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import bundled_files

ROOT = Path(__file__).parents[2]
TEMPLATE = "---\ntitle: Mine\ndescription: My own.\n---\nHello\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    return tmp_path


@pytest.mark.parametrize("kind", ["prompts", "agents", "knowledgebase"])
def test_a_checkout_reads_its_own_folders(kind: bundled_files.Kind) -> None:
    assert bundled_files.shipped_folder(kind) == ROOT / kind


def test_an_installed_package_reads_what_came_with_it(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "dispatch_mcp"
    (package / "_bundled" / "prompts").mkdir(parents=True)
    assert bundled_files._bundled("prompts", package) == package / "_bundled" / "prompts"


def test_a_stale_copy_in_an_editable_install_is_ignored(tmp_path: Path) -> None:
    package = tmp_path / "server" / "dispatch_mcp"
    (package / "_bundled" / "prompts").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert bundled_files._bundled("prompts", package) == tmp_path / "prompts"


def test_names_are_sorted_paths_without_suffix() -> None:
    assert "orchestrate" in bundled_files.names("prompts")
    assert "backend/database-architect" in bundled_files.names("agents")
    assert bundled_files.names("agents") == sorted(bundled_files.names("agents"))


def test_the_users_template_replaces_the_bundled_one(home: Path) -> None:
    (home / "prompts" / "orchestrate.md.j2").write_text(TEMPLATE)
    assert bundled_files.template("orchestrate", home).title == "Mine"
    assert bundled_files.template("orchestrate").title != "Mine"
    assert bundled_files.names("prompts", home) == bundled_files.names("prompts")


def test_the_user_can_add_a_template(home: Path) -> None:
    (home / "prompts" / "team").mkdir()
    (home / "prompts" / "team" / "standup.md.j2").write_text(TEMPLATE)
    assert "team/standup" in bundled_files.names("prompts", home)
    assert "team/standup" in bundled_files.all_templates(home)[0]


@pytest.mark.promise("S13")
def test_a_template_of_the_workspace_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("prompts", ".dispatch/prompts", ".claude/prompts"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "orchestrate.md.j2").write_text(TEMPLATE)
    monkeypatch.chdir(tmp_path)
    assert bundled_files.template("orchestrate").title != "Mine"


def test_a_broken_template_of_the_user_is_named_and_the_bundled_one_stands_in(home: Path) -> None:
    (home / "prompts" / "orchestrate.md.j2").write_text("{{ no front matter")
    found, broken = bundled_files.all_templates(home)
    assert found["orchestrate"] == bundled_files.template("orchestrate")
    assert len(broken) == 1
    assert "front matter" in broken[0]


def test_hidden_files_and_links_to_nowhere_are_left_out(home: Path) -> None:
    (home / "prompts" / ".secret.md.j2").write_text(TEMPLATE)
    (home / "prompts" / "gone.md.j2").symlink_to(home / "nowhere")
    assert bundled_files.names("prompts", home) == bundled_files.names("prompts")


def test_a_file_that_is_too_large_is_refused_with_its_path(home: Path) -> None:
    (home / "prompts" / "big.md.j2").write_bytes(b"x" * (bundled_files.MAX_BYTES + 1))
    with pytest.raises(errors.ConfigError, match=r"big\.md\.j2' is larger than"):
        bundled_files.text("prompts", "big", home)


def test_a_file_that_is_not_utf8_is_refused_with_the_place(home: Path) -> None:
    (home / "prompts" / "latin.md.j2").write_bytes(b"caf\xe9")
    with pytest.raises(errors.ConfigError, match="not UTF-8 at byte 3"):
        bundled_files.text("prompts", "latin", home)


def test_a_file_that_went_away_is_refused(home: Path) -> None:
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        bundled_files.read(bundled_files.Entry("x", "user", home / "x.md.j2"))


@pytest.mark.parametrize("name", ["orchestrat", "../pyproject", "/etc/passwd", "", "x\0y"])
def test_an_unknown_name_is_refused_and_the_nearest_named(name: str) -> None:
    with pytest.raises(errors.UnknownHandle) as refused:
        bundled_files.text("prompts", name)
    assert repr(name) in refused.value.message
    if name == "orchestrat":
        assert refused.value.hint == "Did you mean 'orchestrate'?"


def test_windows_line_ends_and_byte_order_marks_do_not_matter(home: Path) -> None:
    (home / "prompts" / "win.md.j2").write_bytes(b"\xef\xbb\xbf" + TEMPLATE.replace("\n", "\r\n").encode())
    assert bundled_files.template("win", home).title == "Mine"
