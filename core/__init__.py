"""The ground floor: rows, rules, words and shapes. Knows neither Prefect nor FastAPI."""
