"""The command line: one file a verb. Reads settings, wires the parts; the supervisor."""
