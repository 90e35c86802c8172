"""`python -m parley.seeds`: the directory to append to ``sys.path``."""

from parley.seeds import path

print(path())
