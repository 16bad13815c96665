"""What a call runs with, whatever it does: where it computes, what it may reuse and replace, who watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from understudy.runtime.hardware import Hardware, detect
from understudy.storage.layout import default_cache


@dataclass(frozen=True)
class Settings:
    """What a call runs with. The command line builds one from its flags, Python from keyword arguments.

    Attributes:
        device: `cpu`, `cuda` or `mps`; None for the best device of this machine.
        threads: CPU threads; None for one per core.
        engine: What runs finished models, `pytorch` or `openvino`; None for the fastest that agrees.
        cache_dir: Where finished work is kept; None for `$UNDERSTUDY_CACHE` or the user's cache folder.
        overwrite: Whether a run with other data or another teacher may be replaced.
        report_to: Experiment trackers, by the names that Hugging Face's Trainer gives them.
    """

    device: str | None = None
    threads: int | None = None
    engine: str | None = None
    cache_dir: str | Path | None = None
    overwrite: bool = False
    report_to: str | Sequence[str] = ()

    @cached_property
    def hardware(self) -> Hardware:
        """The hardware that these settings ask for.

        Raises:
            UserError: There is no such device or engine.
        """
        return detect(self.device, self.threads, self.engine)

    @property
    def cache(self) -> Path:
        """The cache folder."""
        return Path(self.cache_dir) if self.cache_dir is not None else default_cache()


class SettingsArguments(TypedDict, total=False):
    """The fields of `Settings` as keyword arguments of the public functions."""

    device: str | None
    threads: int | None
    engine: str | None
    cache_dir: str | Path | None
    overwrite: bool
    report_to: str | Sequence[str]
