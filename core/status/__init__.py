"""The status of everything, as the page, the JSON and the metrics show it."""
