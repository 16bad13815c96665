"""How models learn: teacher, student, the linear model, their losses and calibration; it is told what to learn from."""
