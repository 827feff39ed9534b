"""Views of a run that are more than a look: figures, a report, and a summary of a bounded size."""
