"""Charts: the data, the drawing, and the worker processes that draw."""
