"""What is shown of an answer: how much, how sure, what was typed of it already."""
