"""How fast is it? A deterministic upstream, a load client that checks every character, and what they cost."""
