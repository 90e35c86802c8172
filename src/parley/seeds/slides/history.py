"""`parley.seeds.history` for ``import history``."""

from parley.seeds.history import History

__all__ = ["History"]
