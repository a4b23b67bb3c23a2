"""What is said between a client and the daemon, and where they find each other. No torch here."""
