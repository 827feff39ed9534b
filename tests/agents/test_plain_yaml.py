"""Simple headers are read exactly as YAML reads them, and all others are left to YAML."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import bundled_files, plain_yaml

PIECES = st.sampled_from(
    [
        *"abxy n10.:#-_,'\"[]{}/+()=~!|>*&%@`?\\é—",
        "yes",
        "tRue",
        "null",
        ": ",
        " #",
        "0x1",
        "1e5",
        "12:30",
        "2fa",
        "404",
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)
KEYS = st.sampled_from(["name", "a-b", "Keywords", "on", "Yes"])
SHAPES = st.sampled_from(["", "{0}", "[{0}]", "[a, {0}]", "{{a: 1, {0}: 2}}", '"{0}"', "\n  - {0}\n  - b", "\n- {0}"])


def line(key: str, shape: str, text: str) -> str:
    return f"{key}: {shape.format(text)}"


HEADERS = st.lists(st.builds(line, KEYS, SHAPES, TEXTS), min_size=1, max_size=3).map("\n".join)


@given(HEADERS)
def test_what_is_read_is_what_yaml_reads(header: str) -> None:
    read = plain_yaml.read(header)
    if read is not None:
        assert repr(read) == repr(yaml.safe_load(header))


def test_most_shipped_agents_have_simple_headers_and_read_the_same() -> None:
    headers = [
        path.read_text(encoding="utf-8").split("---\n")[1] for path in bundled_files.bundled("agents").rglob("*.md")
    ]
    read = [(header, plain_yaml.read(header)) for header in headers]
    simple = [(header, found) for header, found in read if found is not None]
    assert all(found == yaml.safe_load(header) for header, found in simple)
    assert len(simple) > len(headers) / 2


@pytest.mark.parametrize(
    "header",
    ["a: 1.5", "a: yes", "a: 2024-01-01", "a: b\n  c", "a: |\n  b", "a: b: c", "a: b #c", "a: {b: {}}", "a: &b c", ""],
)
def test_anything_else_is_left_to_yaml(header: str) -> None:
    assert plain_yaml.read(header) is None
