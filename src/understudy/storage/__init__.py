"""What outlasts a process: the run directory's layout, its manifest, atomic files, the Hub's copies; no figures."""
