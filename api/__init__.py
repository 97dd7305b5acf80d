"""HTTP and SSE: requests read, responses framed; nothing here outlives its request."""
