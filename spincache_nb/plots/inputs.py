"""What a plot is given: the frame of an analysis, or a source to analyse."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, Union

import pandas as pd

from spincache_nb.analysis.inputs import Source
from spincache_nb.frames.schemas import Schema

FrameOrSource: TypeAlias = Union[pd.DataFrame, "Source"]


def frame_of(
    given: FrameOrSource, schema: Schema, name: str, analyse: Callable[[Source], pd.DataFrame]
) -> pd.DataFrame:
    """Give the frame to draw."""
    if isinstance(given, pd.DataFrame):
        return checked(given, schema, f"analysis.{name}()")
    return analyse(given)


def checked(frame: pd.DataFrame, schema: Schema, maker: str) -> pd.DataFrame:
    """Give a frame back if it has the columns of what a plot draws."""
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise ValueError(f"this plot draws what {maker} gives; the frame has no {missing}")
    return frame
