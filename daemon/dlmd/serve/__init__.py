"""The long-lived process."""
