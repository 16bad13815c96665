"""A student as a folder that runs without PyTorch, and the gate that lets it through; nothing of a run."""
