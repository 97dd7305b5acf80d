"""The tool shelf: what models, FastGPT and people may call, a file per tool in a folder per toolset."""
