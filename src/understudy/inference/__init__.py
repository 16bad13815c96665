"""Finished models and what they answer, kept or written; nothing is trained."""
