"""Exports of a classifier that run without PyTorch, behind a quality gate; trains nothing and draws nothing."""
