"""Which parts of a workspace a task needs, decided from values: scanning, scoring, facets, packing."""
