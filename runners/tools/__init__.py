"""Tools: what a model may call while it works on a row."""
