"""The use cases: what a user asks for, put together from the parts below."""
