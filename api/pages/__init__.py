"""Pages for people: templates, their style, and what fills them in."""
