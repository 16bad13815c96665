"""The finished teacher: one member, or a committee whose members answer together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from understudy.evaluation.temperature import fit_temperature
from understudy.inference.store import StoredLogits
from understudy.run.labelling import Labeller
from understudy.run.members import Member
from understudy.runtime.hardware import Dtype
from understudy.training.teacher import Encoder


@dataclass(frozen=True)
class Teacher:
    """The teacher: its members, finished. One member answers alone, several answer together as a committee.

    A committee's answer is the mean of its members' log-probabilities (a logarithmic opinion pool, Genest and Zidek
    1986). Each member is first calibrated with a temperature that is fitted on the validation texts (Guo et al. 2017).

    Attributes:
        members: What they are.
        folders: Where they are, one a member.
        labeller: Asks them.
        dtype: Compute type of the answers that the temperatures are fitted to.
    """

    members: tuple[Member, ...]
    folders: tuple[Path, ...]
    labeller: Labeller
    dtype: Dtype

    def start(self, encoder: Encoder) -> Path:
        """The folder of the first member that was fine-tuned from this encoder, or the encoder itself if none was."""
        each = zip(self.members, self.folders, strict=True)
        return next((folder for member, folder in each if member.encoder is encoder), encoder.origin.path)

    @property
    def models(self) -> tuple[Path, ...]:
        """Folders of the members that are models; none where the answers were given."""
        each = zip(self.members, self.folders, strict=True)
        return tuple(folder for member, folder in each if member.is_model)

    @cached_property
    def temperatures(self) -> list[float]:
        """Of each member."""
        labels = self.labeller.corpus.validation.labels
        found = (
            self._member(place, "validation", self.dtype, "validation").logits for place in range(len(self.members))
        )
        return [fit_temperature(logits, labels) for logits in found]

    def logits(self, split: str, dtype: Dtype, description: str) -> StoredLogits:
        """The logits for a split: of several members, their pooled log-probabilities.

        Args:
            split: Which texts.
            dtype: Compute type.
            description: Names the work in messages.
        """
        if len(self.members) == 1:
            return self._member(0, split, dtype, description)
        found = [self._member(place, split, dtype, description) for place in range(len(self.members))]
        return StoredLogits(
            opinion_pool([member.logits for member in found], self.temperatures),
            sum(member.computed for member in found),
            sum(member.reused for member in found),
        )

    def _member(self, place: int, split: str, dtype: Dtype, description: str) -> StoredLogits:
        member, folder = self.members[place], self.folders[place]
        name = description if len(self.members) == 1 else f"{description}, {member.stage}"
        return member.logits(self.labeller, folder, split, dtype, name)

    def record(self) -> list[dict[str, object]]:
        """What `committee.json` says of the members."""
        each = zip(self.members, self.folders, self.temperatures, strict=True)
        return [
            {"folder": folder.name, "model": member.name, "temperature": temperature}
            for member, folder, temperature in each
        ]


def opinion_pool(logits: list[np.ndarray], temperatures: list[float]) -> np.ndarray:
    """The mean of log_softmax(logits / temperature), normalised; float32 of shape (texts, classes)."""
    from scipy.special import log_softmax

    scaled = [
        log_softmax(each.astype(np.float64) / temperature, axis=1)
        for each, temperature in zip(logits, temperatures, strict=True)
    ]
    pooled: np.ndarray = log_softmax(np.mean(scaled, axis=0), axis=1).astype(np.float32)
    return pooled
