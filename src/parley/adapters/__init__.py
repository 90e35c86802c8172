"""Parley as the memory of other people's libraries (docs/how-to/agents.md). Each module needs its own, and openai."""
