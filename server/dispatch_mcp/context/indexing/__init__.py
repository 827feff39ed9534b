"""How an index comes about beside the server: in which order files are read, and by whom."""
