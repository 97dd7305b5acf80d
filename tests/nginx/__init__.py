"""Our nginx configuration, with a real nginx."""
