"""The only place that talks to models or starts processes."""
