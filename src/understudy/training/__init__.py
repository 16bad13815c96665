"""How models learn: teacher, student, linear model, losses, calibration; nothing here knows a run or a report."""
