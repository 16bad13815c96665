"""Texts and labels: sources, in-memory data, audit, splits and tokens."""
