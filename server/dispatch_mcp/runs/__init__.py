"""One run as functions of values: its state machine, budgets, prompts, handoffs and receipts."""
