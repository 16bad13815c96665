"""Shows the figures of finished runs, as page, dashboard, card and tables; computes nothing new."""
