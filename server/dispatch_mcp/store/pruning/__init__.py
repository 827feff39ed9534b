"""What the store lets go of when a person says so: whole runs that are over, and the files that only they needed."""
