"""Commands that write: holes found or given, filled while one watches, one edit at the end."""
