"""Hooks of a host: what makes its runs carry themselves, without the assistant copying, remembering or counting."""
