"""What programs do with the store that open nothing else: looking, and writing one row."""
