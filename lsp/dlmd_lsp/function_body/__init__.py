"""Filling the body of a Python function: found, asked for, laid in."""
