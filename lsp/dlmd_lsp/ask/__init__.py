"""When to ask, and why not: triggers, the wait after a keystroke, files that stay here."""
