"""Model folders: finding, opening, cutting and folding them, and the linear and static models; trains no encoder."""
