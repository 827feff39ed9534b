"""One module a command; each has `main(options, settings) -> exit code`."""
