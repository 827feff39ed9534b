"""The review council as functions of values: what is reviewed, by whom, what counts, and what is decided."""
