"""The machine: devices, threads, environment variables, progress bars and HTML snippets; nothing about models or data."""
