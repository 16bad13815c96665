"""From answers to figures, intervals and a verdict; no model is opened to be trained, nothing is drawn."""
