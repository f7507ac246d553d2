"""Why a peer is ahead in a row of the table. `python -m pytest benchmarks` fails where one is and no reason is here."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from benchmarks.racing import OURS, Row

AHEAD = 0.97  # of cloudrle's time: what is nearer is noise


@dataclass(frozen=True)
class Reason:
    """What holds for the cases of an operation whose names match a pattern, against a peer."""

    operation: str
    cases: str
    peer: str
    text: str


@dataclass(frozen=True)
class Lag:
    """A peer that takes less time than cloudrle in a row, and why."""

    row: Row
    peer: str
    reason: str | None

    @property
    def ratio(self) -> float:
        """The peer's time over cloudrle's."""
        return self.row.contenders[self.peer] / self.row.contenders[OURS]


_HUGE = (
    "A mask beyond all caches: cloudrle writes strips of 64 columns, 64 bytes to a row, so that the changes of a strip "
    "stay in a cache however many they are; the peer's few long runs go to memory in larger stretches."
)
_READ = (
    "A mask beyond all caches: cloudrle reads strips of 64 columns, 64 bytes to a row and every row in another page of "
    "memory; the peer reads along rows, and transposes its runs."
)
_FORESEEN = (
    "The peer's loop jumps by which mask changes next: that costs little where the processor foresees it, as in one "
    "pair that comes again and again, or in masks as regular as the smooth ones; cloudrle's loop does not jump, and "
    "takes the same time whatever the masks. In rough pair after pair, which nobody foresees, cloudrle is ahead."
)
_WIDE = "Bytes: the peer's counts have 32 bits, so that larger masks are beyond it; cloudrle's have 64."
_NEW_MEMORY = (
    "New memory: a run takes 16 bytes, the peer's half of that, so that pages which the system has to give first are "
    "twice as many (2,875 a call and 1,438). Where the allocator keeps blocks of that size from call to call, as in "
    "the smaller rows, the peer takes 1.5 to 2 times cloudrle's time."
)
_EQUAL = "Equal within the noise between runs: 0.95 to 1.2 of cloudrle's time."
_EMPTY = (
    "An empty mask is one memset for both: here of memory that the caller gave, there of memory that was just given "
    "back, and is in a cache."
)

REASONS = (
    *(Reason(f"a {sign} b", cases, "rlemasklib", _FORESEEN) for sign in "&|^-" for cases in ("rough *", "smooth *")),
    *(Reason(f"a {sign} b of pair after pair", "* of smooth *", "rlemasklib", _FORESEEN) for sign in "&|^-"),
    Reason("area", "noise 1400 x 2100", "rlemasklib", _WIDE),
    *(Reason(f"flip({axis})", "noise *", "rlemasklib", _NEW_MEMORY) for axis in (0, 1)),
    Reason("fill_holes", "rough 350 x 525", "rlemasklib*", _EQUAL),
    Reason("coco.area", "200 instances 480 x 640", "hotcoco", _EQUAL),
    Reason("RLE.from_mask", "smooth 20000 x 20000", "rlemasklib", _READ),
    Reason("RLE.to_mask(out=)", "smooth 20000 x 20000", "rlemasklib", _HUGE),
    Reason("decode", "smooth 20000 x 20000", "rlemasklib", _HUGE),
    Reason("RLE.to_mask(out=)", "empty *", "numba", _EMPTY),
    Reason("RLE.to_mask(out=)", "real *_Gravel", "numba", _EMPTY),
    Reason("decode", "empty *", "numba", _EMPTY),
    *(Reason("decode_many(out=)", "8 large empty masks", peer, _EMPTY) for peer in ("numba", "notebook")),
    Reason("decode", "real *_Gravel", "numba", _EMPTY),
)


def lags(rows: list[Row]) -> list[Lag]:
    """Find every peer that is ahead of cloudrle, row by row."""
    return [
        Lag(row, peer, _reason(row, peer))
        for row in rows
        for peer, time in row.contenders.items()
        if not peer.startswith(OURS) and time < AHEAD * row.contenders[OURS]
    ]


def _reason(row: Row, peer: str) -> str | None:
    found = (
        reason.text
        for reason in REASONS
        if (reason.operation, reason.peer) == (row.operation, peer) and fnmatchcase(row.case, reason.cases)
    )
    return next(found, None)
