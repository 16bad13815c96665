"""One run: what it starts from, what is done, what is found again; it orders the other rooms and computes little."""
