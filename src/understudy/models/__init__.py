"""Model folders: found, opened, cut down, folded; no text is read but by their tokenizers."""
