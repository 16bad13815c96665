"""The machine: devices, cores, environment variables, packages and progress bars; nothing about models or data."""
