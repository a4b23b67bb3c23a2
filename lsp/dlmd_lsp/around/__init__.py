"""What is sent along with the text around the cursor, and what of it can be shown."""
