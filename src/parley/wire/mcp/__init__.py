"""The Model Context Protocol's server side, as pure forms (docs/reference/mcp.md)."""
