"""Outside systems: where they are, their secrets, and how to speak to them."""
