"""Charts: what is to be drawn (plain data, checked) and how it becomes a picture."""
