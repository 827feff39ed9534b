"""A run as something to look at: one page that carries its data, for a file, a dashboard and an app."""
