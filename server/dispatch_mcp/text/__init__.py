"""Text as values: words, globs, diffs, JSON, and what must be escaped or taken out."""
