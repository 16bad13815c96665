"""How fast models are, and the one way to measure it; nothing about how good they are."""
