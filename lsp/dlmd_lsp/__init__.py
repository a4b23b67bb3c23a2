"""The language server: editors on one side, the daemon on the other. No torch here."""
