"""OpenAI's shapes: what its clients ask, and the objects and events they are given (docs/reference/openai.md). Pure."""
