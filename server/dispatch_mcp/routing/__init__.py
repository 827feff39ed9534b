"""The router as functions of values: which agents suit a request, how sure that is, and what is learned."""
