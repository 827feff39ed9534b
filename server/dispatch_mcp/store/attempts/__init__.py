"""What is read of the attempts of a run, which has thousands."""
