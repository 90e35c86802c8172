"""`parley chat`: talk in the terminal. A line REPL on a terminal, one question by argument or pipe."""
