"""What happens in which order, how much at once, and what the failure of a part means."""
