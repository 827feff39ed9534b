"""What attempts leave with their heartbeats, as the store keeps it."""
