"""The progress bar of a bulk job."""

from __future__ import annotations

from collections.abc import Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from cloudseg_sdk.inference.prediction import Prediction


class Bar(Progress):
    """Images of the job, those of earlier runs among them; the rate and the time left are of this run."""

    def __init__(self, total: int | None, *, done: int, progress: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        super().__init__(*columns, disable=not progress)
        self._shown = self.add_task("predicting", total=total, completed=done)
        self._errors = 0

    def count(self, items: Iterator[Prediction]) -> Iterator[Prediction]:
        """Yield `items`, each one image further."""
        for item in items:
            self._errors += item.error is not None
            words = f"predicting, {self._errors:,} unreadable" if self._errors else "predicting"
            self.update(self._shown, advance=1, description=words)
            yield item


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} images/s")
