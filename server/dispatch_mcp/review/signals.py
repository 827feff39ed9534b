"""All signs, by subject."""

from __future__ import annotations

from typing import Final

from dispatch_mcp.review import signs_dependencies, signs_legacy, signs_performance, signs_security, signs_tests
from dispatch_mcp.review.signs import Sign

SIGNS: Final[tuple[Sign, ...]] = (
    *signs_security.SECURITY,
    *signs_performance.PERFORMANCE,
    *signs_tests.TEST_SIGNS,
    *signs_dependencies.DEPENDENCIES,
    *signs_legacy.LEGACY,
)
