"""What a run says when it is done: for the terminal and for files."""
