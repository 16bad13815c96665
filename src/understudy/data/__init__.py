"""Texts and labels: sources, data in memory, audit, splits and tokens; no models and no figures."""
