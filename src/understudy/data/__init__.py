"""A text enters here: sources, labels, audit, tokens; nothing about models but their tokenizers."""
