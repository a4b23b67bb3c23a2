"""Where model-written code runs: one interface, several rooms."""
