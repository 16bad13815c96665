"""The machine: devices, threads, environment variables and progress bars; nothing about models or data."""
