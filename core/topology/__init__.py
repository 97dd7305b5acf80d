"""What depends on what: services, how each is checked, and the graph they make."""
