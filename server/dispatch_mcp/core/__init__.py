"""Pure decisions: values in, values out; no clock, randomness, files, network or async."""
