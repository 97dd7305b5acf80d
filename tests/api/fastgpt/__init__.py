"""FastGPT's contract, asked as its SDKs ask."""
