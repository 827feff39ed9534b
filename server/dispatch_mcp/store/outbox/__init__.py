"""What people are to be told of runs, until it has been told."""
