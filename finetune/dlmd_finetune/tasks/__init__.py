"""A repository and its tests, made into tasks that deserve trust."""
