"""Models: a model streams pieces of an answer for a transcript. The only place that calls upstream HTTP."""
