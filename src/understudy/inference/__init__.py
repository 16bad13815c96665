"""Runs finished models, and stores or writes their predictions; trains nothing."""
