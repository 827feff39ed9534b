"""Random task graphs with minutes, for the tests of schedules."""

from __future__ import annotations

from hypothesis import strategies as st

from dispatch_mcp.planning import graph

Work = tuple[graph.Graph, list[float]]


@st.composite
def work(draw: st.DrawFn) -> Work:
    """A graph in any numbering, with minutes; some tasks take no time."""
    size = draw(st.integers(1, 7))
    number = draw(st.permutations(range(size)))
    edges: list[tuple[str, list[str]]] = [("", [])] * size
    for node in range(size):
        deps = draw(st.sets(st.integers(0, node - 1), max_size=3)) if node else set[int]()
        edges[number[node]] = (f"t{number[node]}", [f"t{number[dep]}" for dep in sorted(deps)])
    return graph.build(edges), draw(st.lists(st.integers(0, 9).map(float), min_size=size, max_size=size))
