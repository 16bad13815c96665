"""Figures made visible: page, dashboard, card, terminal; it reads finished runs and computes nothing new."""
