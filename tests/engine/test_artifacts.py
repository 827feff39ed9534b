"""What workers name as artifacts is read by the server, kept by digest, and paged."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest

from dispatch_mcp.service import answers

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home", archive=str.upper) as opened:
        yield opened


async def after(desk: dispatcher_setup.Desk, *named: dict[str, Any] | str) -> str:
    """Returns a run of one task that has reported these artifacts."""
    plan_id = await desk.planned({"id": "a", "do": "Write it"})
    given = await desk.app.dispatch(plan_id=plan_id)
    handoff = {"completed_work": "done", "artifacts": list(named)}
    await desk.app.report(given.run_id, [{**dispatcher_setup.said(given.assignments[0]), "handoff": handoff}])
    return given.run_id


async def listed(desk: dispatcher_setup.Desk, run_id: str, task_id: str = "", cursor: str = "") -> answers.Trace:
    return await desk.app.trace(run_id=run_id, task_id=task_id, view="artifacts", cursor=cursor)


async def test_a_named_file_is_kept_without_secrets_under_the_digest_of_what_is_kept(
    desk: dispatcher_setup.Desk, tmp_path: Path
) -> None:
    (tmp_path / "report.md").write_text("hello")
    run_id = await after(desk, {"name": "report", "path": "report.md"})
    (tmp_path / "report.md").write_text("changed since")
    (line,) = (await listed(desk, run_id)).artifacts
    assert (line.name, line.path, line.size, line.text) == ("report", "report.md", 5, "")
    assert line.digest == hashlib.sha256(b"HELLO").hexdigest()
    assert line.mime_type == "text/markdown"
    (whole,) = (await listed(desk, run_id, "a")).artifacts
    assert whole.text == "HELLO"


async def test_a_path_may_be_named_in_full(desk: dispatcher_setup.Desk, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("x")
    run_id = await after(desk, str(tmp_path / "report.md"))
    assert [line.path for line in (await listed(desk, run_id)).artifacts] == ["report.md"]


@pytest.mark.promise("S4")
@pytest.mark.parametrize("path", ["../outside.md", "/etc/hostname", "link.md", ".env", "missing.md", "folder", ""])
async def test_what_lies_elsewhere_or_may_be_secret_is_named_but_not_read(
    desk: dispatcher_setup.Desk, tmp_path: Path, path: str
) -> None:
    (tmp_path.parent / "outside.md").write_text("outside")
    (tmp_path / "link.md").symlink_to("/etc/hostname")
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "folder").mkdir()
    run_id = await after(desk, {"name": "it", "path": path})
    (line,) = (await listed(desk, run_id)).artifacts
    assert (line.digest, line.size) == ("", 0)


async def test_what_is_no_text_has_a_digest_and_is_not_kept(desk: dispatcher_setup.Desk, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\0\xff")
    run_id = await after(desk, {"name": "logo", "path": "logo.png"})
    (line,) = (await listed(desk, run_id, "a")).artifacts
    assert (line.digest, line.text) == (hashlib.sha256(b"\x89PNG\0\xff").hexdigest(), "")
    assert line.mime_type == "image/png"


async def test_long_artifacts_are_paged_and_nothing_is_lost(desk: dispatcher_setup.Desk, tmp_path: Path) -> None:
    texts = {"one.txt": "A" * 30_000, "two.txt": "B" * 15_000, "three.txt": "C" * 10}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    run_id = await after(desk, *texts)
    found, cursor, pages = dict.fromkeys(texts, ""), "", 0
    while True:
        page = await listed(desk, run_id, "a", cursor)
        pages += 1
        for line in page.artifacts:
            found[line.path] += line.text
        cursor = page.cursor
        if not cursor:
            break
    assert found == texts
    assert pages == 3


async def test_files_are_kept_up_to_four_megabytes_and_larger_ones_named(
    desk: dispatcher_setup.Desk, tmp_path: Path
) -> None:
    most = 4 * 1024 * 1024
    (tmp_path / "large.log").write_bytes(b"x" * most)
    (tmp_path / "huge.log").write_bytes(b"x" * (most + 1))
    run_id = await after(desk, "large.log", "huge.log")
    large, huge = (await listed(desk, run_id)).artifacts
    assert large.size == most
    assert (huge.digest, huge.size) == ("", 0)


async def test_a_file_with_a_zero_byte_anywhere_is_no_text(desk: dispatcher_setup.Desk, tmp_path: Path) -> None:
    (tmp_path / "late.dat").write_bytes(b"words " * 2_000 + b"\0")
    run_id = await after(desk, "late.dat")
    (line,) = (await listed(desk, run_id, "a")).artifacts
    assert (line.size, line.text) == (12_001, "")
