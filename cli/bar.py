"""What a person sees while an import runs: a bar, the counts, and a hint when nothing moves."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from cli.importing import OnStep, Step

# A stack that works posts every few milliseconds; ten seconds without are worth a word.
STANDSTILL_S = 10.0
BAR_WIDTH = 20  # columns: the counts need the rest of an 80 column terminal
STANDSTILL = (
    "Nothing has been posted for {:.0f} s. Do the workers run? `trident status` knows."
    " Ctrl-C is safe: started again, the import goes on."
)


class CountsColumn(ProgressColumn):
    """Accepted, posted, rejected, and how fast."""

    def get_table_column(self) -> Column:
        """It is never broken over two lines."""
        return Column(no_wrap=True)

    def render(self, task: Task) -> Text:
        """One line of text."""
        step: Step | None = task.fields["step"]
        if step is None or step.rows is None:
            return Text(f"checking  {step.checked if step else 0:,} rows")
        counts = step.counts
        return Text(
            f"{counts.known:,} accepted · {counts.posted:,} posted"
            f" · {counts.rejected_rows:,} rejected · {task.speed or 0:,.0f}/s"
        )


@contextmanager
def bar(name: str) -> Iterator[OnStep]:
    """A progress bar on standard error, if that is a terminal; to be called with each step."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(BAR_WIDTH),
        CountsColumn(),
        TimeElapsedColumn(),
    )
    warned = False
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(name, total=None, step=None)

        def on_step(step: Step) -> None:
            """Show it; once, say that nothing moves."""
            nonlocal warned
            done = step.counts.posted + step.counts.rejected_rows
            progress.update(task, total=step.rows, completed=done, step=step)
            if step.counts.waiting_s > STANDSTILL_S and not warned:
                warned = True
                console.print(STANDSTILL.format(step.counts.waiting_s))

        yield on_step
