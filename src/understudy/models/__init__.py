"""Models: finding, opening, pruning and folding model folders, and the linear and static models."""
