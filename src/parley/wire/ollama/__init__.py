"""Ollama's API, as pure forms (docs/reference/ollama.md)."""
