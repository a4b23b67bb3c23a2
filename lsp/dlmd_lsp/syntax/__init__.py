"""What the text of a document means: trees where there is a grammar, brackets elsewhere."""
