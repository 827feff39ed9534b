"""What drives runs: the executor, and the one way of an attempt from its order to its judged outcome."""
