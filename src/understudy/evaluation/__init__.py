"""Turns predictions into figures, intervals and a verdict; trains no model and draws no chart."""
