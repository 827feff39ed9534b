"""Commands about this installation; each module has `main(options, settings) -> exit code`."""
