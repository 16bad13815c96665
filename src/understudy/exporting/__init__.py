"""Exports a classifier to a folder that runs without PyTorch, behind a quality gate."""
