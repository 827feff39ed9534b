"""Which files a file names in its imports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import import_graph


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "import os, shop.cart as cart\n", ("os", "shop/cart")),
        ("pkg/sub/a.py", "from .. import money\nfrom .cart import (\n    Cart,\n    Line,\n)\n", None),
        ("a.py", "    from late import thing  # why\n", ("late", "late/thing")),
        ("a.ts", "export * from './money'\nconst x = await import('../lib/view.vue')\n", ("money", "../lib/view")),
        ("web/a.js", "import x from '@scope/pkg/deep.js'\nimport y from 'bare'\n", ("@scope/pkg/deep",)),
        ("main.go", 'import (\n\tweb "example.org/web"\n\t"fmt"\n)\n', ("example.org/web/",)),
        ("src/main.rs", "pub(crate) use super::walk::Filter;\nmod exec;\nuse std::fmt;\n", ("walk/Filter", "exec")),
        ("a.c", '#include "net/socket.h"\n#include <stdio.h>\n', ("net/socket",)),
        ("A.java", "import static shop.Cart.total;\nimport shop.Money;\n", ("shop/Cart/total", "shop/Money")),
        ("A.php", "use Shop\\Cart;\n", ("Shop/Cart",)),
        ("a.rb", "require_relative 'shop/cart'\nrequire 'json'\n", ("shop/cart", "json")),
        ("a.md", "import shop.cart\n", ()),
        ("a.sql", "from shop import cart\n", ()),
    ],
)
def test_imports_are_ends_of_paths_without_extension(path: str, text: str, expected: tuple[str, ...] | None) -> None:
    found = import_graph.of(text, path)
    if expected is None:
        assert set(found) == {"pkg", "pkg/money", "pkg/sub/cart", "pkg/sub/cart/Cart", "pkg/sub/cart/Line"}
    else:
        assert found == expected


def test_the_same_import_counts_once_and_many_are_cut() -> None:
    many = "".join(f"import module_{at}\n" for at in range(200))
    assert import_graph.of("import a\nimport a\n", "x.py") == ("a",)
    assert len(import_graph.of(many, "x.py")) == import_graph.MOST


@given(st.text(max_size=300), st.sampled_from(["a.py", "a/b.ts", "a.go", "a.rs", "a.c", "a.java", "a.rb", "a.txt"]))
def test_any_text_has_few_imports_and_none_is_empty(text: str, path: str) -> None:
    found = import_graph.of(text, path)
    assert len(found) <= import_graph.MOST
    assert all(found)
