"""What others have, as specs and rows: one family of files per origin of `promptc import`."""
