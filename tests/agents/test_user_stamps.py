from __future__ import annotations

from pathlib import Path

from dispatch_mcp.agents import bundled_files

TEMPLATE = "---\ntitle: Mine\ndescription: My own.\n---\nHello\n"


def test_a_stamp_is_another_one_whenever_a_file_of_the_user_is(tmp_path: Path) -> None:
    home = tmp_path
    (home / "prompts").mkdir()
    stamps = [bundled_files.stamp(home / "nowhere"), bundled_files.stamp(home)]
    mine = home / "prompts" / "mine.md.j2"
    document = home / "knowledgebase" / "house" / "rules.md"
    document.parent.mkdir(parents=True)
    for path, text in ((mine, TEMPLATE), (mine, TEMPLATE + "!"), (document, "# Rules")):
        path.write_text(text)
        stamps.append(bundled_files.stamp(home))
    (home / "prompts" / "notes.txt").write_text("no template")
    assert bundled_files.stamp(home) == stamps[-1]
    mine.unlink()
    stamps.append(bundled_files.stamp(home))
    assert stamps[0] == stamps[1] == ()
    assert len(set(stamps[1:])) == len(stamps) - 1
