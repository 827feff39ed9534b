"""The command line: what people at a shell use."""
