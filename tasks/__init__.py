"""One outside effect each, worth seeing, timing and retrying on its own."""
