"""The worker that asks the Anthropic API."""
