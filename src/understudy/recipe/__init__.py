"""Recipes: typed options, presets, and the words for them; nothing here reads data or models."""
