"""Flags in, one call of the library, an exit status out; no logic."""
