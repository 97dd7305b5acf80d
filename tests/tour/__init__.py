"""The book: one happy path per capability, on everything that `pilothouse up` starts, with the real demo model."""
