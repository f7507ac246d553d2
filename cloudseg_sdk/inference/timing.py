"""Where the time of a prediction goes."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds that threads spent on some images, by stage.

    Stages of different images run at the same time, so these add up to more than the clock on the wall shows. A thread
    that waits for a free core, or for its turn with the engine, spends time too.

    Parameters
    ----------
    images
        How many images this is about.
    read
        Reading and decoding.
    stretch
        Resizing to the network's input, and cutting windows.
    engine
        The network. An image has its share of the batch that it was in.
    decide
        From class maps to masks.

    Examples
    --------
    >>> Timing(1, read=0.25, engine=1.0) + Timing(1, read=0.5, engine=1.0)
    Timing(images=2, read=0.75, stretch=0.0, engine=2.0, decide=0.0)
    """

    images: int = 0
    read: float = 0.0
    stretch: float = 0.0
    engine: float = 0.0
    decide: float = 0.0

    def __add__(self, other: Timing) -> Timing:
        return Timing(*(one + another for one, another in zip(astuple(self), astuple(other), strict=True)))
