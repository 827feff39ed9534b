"""Texts of a picture without the folders of the machine that they were written on."""

from __future__ import annotations

from pathlib import Path

import picture_samples
import pytest

from dispatch_mcp.pages import placeless_text, run_picture

WORKSPACE, HOME = "/people/ann/work/shop", "/people/ann"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", HOME)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        (WORKSPACE, "."),
        (f"see {WORKSPACE}/app/cart.py:3.", "see ./app/cart.py:3."),
        (f"{WORKSPACE}.", ".."),
        (f"cd '{WORKSPACE}' && ls", "cd '.' && ls"),
        (f"file://{WORKSPACE}/a, -I{WORKSPACE}/b", "file://./a, -I./b"),
        (f'{{"out": "line\\n{WORKSPACE}/a"}}', '{"out": "line\\n./a"}'),
        (f"{WORKSPACE}-old/a and {WORKSPACE}.bak", "~/work/shop-old/a and ~/work/shop.bak"),
        ("/people/ann/.ssh and /people/anna/x", "~/.ssh and /people/anna/x"),
        (f"/mnt/copy{HOME}/a", f"/mnt/copy{HOME}/a"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_workspace_and_home_are_named_by_their_marks(text: str, without: str) -> None:
    assert placeless_text.placeless(text, placeless_text.places(WORKSPACE)) == without


@pytest.mark.parametrize("workspace", ["", "/", "shop"])
def test_what_is_no_folder_of_its_own_has_no_mark(workspace: str) -> None:
    assert {place.mark for place in placeless_text.places(workspace)} == {"~"}


def test_a_folder_behind_a_link_is_known_by_both_its_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folders = placeless_text.places(str(tmp_path / "link"))
    assert placeless_text.placeless(f"{tmp_path}/real/a {tmp_path}/link/b", folders) == "./a ./b"


def test_every_text_of_a_picture_is_gone_through_and_nothing_else_changes() -> None:
    nasty = (f"Look at {WORKSPACE}/app.py",)
    picture = picture_samples.picture(5, names=nasty)
    clean = placeless_text.placeless(picture, placeless_text.places(WORKSPACE))
    assert isinstance(clean, run_picture.RunPicture)
    assert WORKSPACE in picture.model_dump_json()
    assert WORKSPACE not in clean.model_dump_json()
    assert clean.model_dump_json() == picture.model_dump_json().replace(WORKSPACE, ".")
    plain = picture_samples.picture(5)
    assert placeless_text.placeless(plain, placeless_text.places(WORKSPACE)) == plain
