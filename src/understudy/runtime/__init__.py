"""The machine underneath: devices, threads, environment variables, progress bars; nothing about models or data."""
