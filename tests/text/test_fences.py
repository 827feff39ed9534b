from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import fences

NONCE = "k7f3q9x2m4"


@given(st.text(), st.text(), st.text(), st.text())
def test_a_block_names_where_its_text_comes_from_whatever_the_names_are(
    kind: str, source: str, text: str, note: str
) -> None:
    fence = fences.choose(NONCE, (kind, source, text, note))
    first, _, rest = fences.wrap(fences.Data(kind, source, text, note), fence).partition("\n")
    assert fences.opened(first, fence) == fences.Data(kind, source, "", note)
    assert rest == f"{text}\n{fences.closing(fence)}"


def test_a_text_that_knows_the_nonce_gets_another_fence() -> None:
    closing = fences.closing(NONCE)
    assert fences.choose(NONCE, [closing]) == f"{NONCE}-1"
    assert fences.choose(NONCE, [closing, f"{NONCE}-1", f"{NONCE}-2"]) == f"{NONCE}-3"


@given(st.lists(st.text(alphabet=f"{NONCE}-123", max_size=60)))
def test_a_fence_occurs_in_none_of_the_texts(texts: list[str]) -> None:
    assert not any(fences.choose(NONCE, texts) in text for text in texts)


@pytest.mark.parametrize("nonce", ["", "short", "x" * 65, "with space1", "<tag>12345"])
def test_a_nonce_that_can_be_guessed_or_breaks_the_tag_is_refused(nonce: str) -> None:
    with pytest.raises(ValueError, match="8 to 64 letters and digits"):
        fences.choose(nonce, [])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("plain\r\nwith\ttabs", ()),
        ("\x1b[31mred", ("ansi", "control")),
        ("a\u202egpj", ("bidi",)),
        ("a\u200bb", ("zero-width",)),
        ("\U000e0041", ("zero-width",)),
        ("\x00", ("control",)),
        ("\x9b2J\u2066\ufeff", ("ansi", "bidi", "control", "zero-width")),
    ],
)
def test_unseen_characters_are_named(text: str, names: tuple[str, ...]) -> None:
    assert fences.hidden(text) == names


def test_another_fence_does_not_open_a_block() -> None:
    line = fences.wrap(fences.Data("file", "a.py", ""), "otherfence1").split("\n")[0]
    assert fences.opened(line, NONCE) is None
