"""The limits of the quality gate, apart from what measures them: the command line shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much worse than its model an export may be.

    Attributes:
        flips: Share of the validation texts that may get another label.
        accuracy_loss: How much accuracy may be lost, as a share of the texts.
        ece_rise: How much the expected calibration error may rise.
        batch_flips: How many of 64 texts may change their label in a batch with 31 other texts.
    """

    flips: float = 0.01
    accuracy_loss: float = 0.003
    ece_rise: float = 0.02
    batch_flips: int = 0

    @property
    def fewest_texts(self) -> int:
        """How many texts can judge an export: 1 / `flips`; for a limit of 0 as many as for the default.

        With fewer texts, one flipped label already exceeds the limit, so a single text would decide. The number also
        does for the accuracy, which cannot change by more than the share of flipped labels.
        """
        return math.ceil(1 / (self.flips or Limits.flips) - 1e-9)
