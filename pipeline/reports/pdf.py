"""A statement as PDF: A4 pages for people, with numbers, a head and a row for each line.

What the font has no sign for (letters.py) stands as a replacement character; CSV and JSON have
every letter.
"""

import datetime as dt
import io
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from pipeline import money
from pipeline.reports.letters import BOLD, PLAIN, printable, register_fonts, wrapped
from pipeline.reports.period import Statement
from pipeline.reports.too_large import TooLargeError
from pipeline.statement import Line

# Some 150 pages and two seconds of work: nobody prints more.
LINES_MAX = 5_000

# Everything below is in points, 1/72 inch.
WIDTH, HEIGHT = A4
MARGIN = 42.0
RIGHT = WIDTH - MARGIN
BOTTOM = 58.0  # above the page's number
LEADING = 10.0
PADDING = 3.5  # above and below a row
BODY, SMALL, TITLE = 8.0, 7.0, 16.0
INK, PALE, RULE = (0.1, 0.1, 0.12), (0.42, 0.42, 0.46), (0.8, 0.8, 0.83)
LABEL_WIDTH = 110.0


class Column(NamedTuple):
    """Where a column begins and ends; numbers stand at its right edge."""

    title: str
    left: float
    right: float
    number: bool = True


DATE = Column("Date", MARGIN, MARGIN + 52, number=False)
POSITION = Column("Position", DATE.right, DATE.right + 48)
TEXT = Column("Description", POSITION.right + 10, RIGHT - 3 * 76, number=False)
DEBIT = Column("Debit", TEXT.right, TEXT.right + 76)
CREDIT = Column("Credit", DEBIT.right, DEBIT.right + 76)
BALANCE = Column("Balance", CREDIT.right, RIGHT)
COLUMNS = (DATE, POSITION, TEXT, DEBIT, CREDIT, BALANCE)


class Row(NamedTuple):
    """A line of the statement, laid out: its cells, and the lines of its description."""

    date: str
    position: str
    text: list[str]
    remark: str
    debit: str
    credit: str
    balance: str
    bold: bool = False

    @property
    def height(self) -> float:
        """How much of the page it takes."""
        lines = len(self.text) + bool(self.remark)
        return max(lines, 1) * LEADING + 2 * PADDING


def as_pdf(statement: Statement, made_at: dt.datetime) -> bytes:
    """The whole document; raises TooLargeError."""
    register_fonts()
    lines = list(islice(statement.lines(), LINES_MAX + 1))
    if len(lines) > LINES_MAX:
        raise TooLargeError(
            f"A PDF holds {LINES_MAX:,} lines at most. Take a shorter period, or CSV, which has no"
            " limit."
        )
    opening = Row("", "", ["Opening balance"], "", "", "", _shown(statement, statement.opening))
    closing = Row(
        "",
        "",
        ["Totals and closing balance"],
        "",
        _shown(statement, statement.debits),
        _shown(statement, statement.credits),
        _shown(statement, statement.closing),
    )
    rows = [
        opening._replace(bold=True),
        *(_row(statement, line) for line in lines),
        closing._replace(bold=True),
    ]
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=A4, pageCompression=1, lang="en")
    canvas.setTitle(f"Statement of {statement.account.code}")
    canvas.setAuthor(f"Ledger {statement.ledger.name}")
    canvas.setCreator("Trident")
    Document(canvas, statement, made_at).draw(rows)
    canvas.save()
    return file.getvalue()


class Document:
    """The pages, drawn one after the other."""

    def __init__(self, canvas: Canvas, statement: Statement, made_at: dt.datetime) -> None:
        self._canvas = canvas
        self._statement = statement
        self._made_at = made_at
        self._y = 0.0

    def draw(self, rows: list[Row]) -> None:
        """Head, rows and feet."""
        heads = self._heads()
        first = HEIGHT - MARGIN - TITLE - 14 - sum(len(text) * 12 for _, text in heads) - 16
        pages = list(_pages(rows, first - LEADING - 8, HEIGHT - MARGIN - LEADING - 8))
        for number, page in enumerate(pages, start=1):
            if number == 1:
                self._draw_head(heads)
                self._y = first
            else:
                self._y = HEIGHT - MARGIN
            self._draw_titles()
            for row in page:
                self._draw_row(row)
            self._draw_foot(number, len(pages))
            self._canvas.showPage()

    def _heads(self) -> list[tuple[str, list[str]]]:
        """Labels and what stands beside them, in lines."""
        statement, account = self._statement, self._statement.account
        width = RIGHT - MARGIN - LABEL_WIDTH
        said = [
            ("Ledger", statement.ledger.name),
            ("Account", account.code),
            ("Name", account.name or ""),
            ("Type and currency", f"{account.type}, {account.currency}"),
            ("Period", _period(statement)),
        ]
        if not statement.complete:
            said.append(("Preliminary", "Operations of this period still wait to be posted."))
        return [(label, wrapped(text, PLAIN, 9, width)) for label, text in said if text]

    def _draw_head(self, heads: list[tuple[str, list[str]]]) -> None:
        y = HEIGHT - MARGIN - TITLE
        self._write(MARGIN, y, "Account statement", BOLD, TITLE)
        y -= 14
        for label, text in heads:
            for number, line in enumerate(text):
                y -= 12
                if number == 0:
                    self._write(MARGIN, y, label, PLAIN, 9, PALE)
                self._write(MARGIN + LABEL_WIDTH, y, line, PLAIN, 9)

    def _draw_titles(self) -> None:
        self._y -= LEADING
        for column in COLUMNS:
            self._cell(column, self._y, column.title, BOLD, SMALL, PALE)
        self._y -= 8
        self._rule(self._y + 3, INK)

    def _draw_row(self, row: Row) -> None:
        y = self._y - PADDING - BODY
        font = BOLD if row.bold else PLAIN
        self._cell(DATE, y, row.date, font)
        self._cell(POSITION, y, row.position, font, SMALL, PALE)
        self._cell(DEBIT, y, row.debit, font)
        self._cell(CREDIT, y, row.credit, font)
        self._cell(BALANCE, y, row.balance, font)
        for line in row.text:
            self._write(TEXT.left, y, line, font, BODY)
            y -= LEADING
        if row.remark:
            self._write(TEXT.left, y, row.remark, PLAIN, SMALL, PALE)
        self._y -= row.height
        self._rule(self._y, RULE)

    def _draw_foot(self, number: int, pages: int) -> None:
        made = f"{self._made_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
        said = f"{self._statement.ledger.name} · {self._statement.account.code} · made {made}"
        left = Column("", MARGIN, RIGHT - 70, number=False)
        self._cell(left, MARGIN - 8, printable(said), PLAIN, SMALL, PALE)
        page = Column("", RIGHT - 70, RIGHT)
        self._cell(page, MARGIN - 8, f"Page {number} of {pages}", PLAIN, SMALL, PALE)

    def _cell(
        self,
        column: Column,
        y: float,
        text: str,
        font: str = PLAIN,
        size: float = BODY,
        ink: tuple[float, float, float] = INK,
    ) -> None:
        """Smaller if it would not fit: a number is never cut."""
        room = column.right - column.left - (4 if column.number else 0)
        width = pdfmetrics.stringWidth(text, font, size)
        if width > room:
            size *= room / width
        if column.number:
            self._canvas.setFont(font, size)
            self._canvas.setFillColorRGB(*ink)
            self._canvas.drawRightString(column.right, y, text)
        else:
            self._write(column.left, y, text, font, size, ink)

    def _write(
        self,
        x: float,
        y: float,
        text: str,
        font: str,
        size: float,
        ink: tuple[float, float, float] = INK,
    ) -> None:
        self._canvas.setFont(font, size)
        self._canvas.setFillColorRGB(*ink)
        self._canvas.drawString(x, y, text)

    def _rule(self, y: float, ink: tuple[float, float, float]) -> None:
        self._canvas.setStrokeColorRGB(*ink)
        self._canvas.setLineWidth(0.4)
        self._canvas.line(MARGIN, y, RIGHT, y)


def _pages(rows: list[Row], first: float, others: float) -> Iterator[list[Row]]:
    """The rows page by page; the first page has less room, which its head takes."""
    page: list[Row] = []
    room = first - BOTTOM
    for row in rows:
        if row.height > room and page:
            yield page
            page, room = [], others - BOTTOM
        page.append(row)
        room -= row.height
    yield page


def _row(statement: Statement, line: Line) -> Row:
    accepted = f"{line.accepted_at.astimezone(dt.UTC):%Y-%m-%d}"
    by_date = statement.basis == "effective"
    remark = ""
    if accepted != line.effective_date:
        remark = f"accepted {accepted}" if by_date else f"effective {line.effective_date}"
    text = wrapped(line.description or line.kind, PLAIN, BODY, TEXT.right - TEXT.left - 6)
    amount = _shown(statement, abs(line.amount))
    return Row(
        line.effective_date if by_date else accepted,
        f"{line.position:,}",
        text,
        remark,
        "" if line.credit else amount,
        amount if line.credit else "",
        _shown(statement, line.balance),
    )


def _period(statement: Statement) -> str:
    """In words; the end is not part of it."""
    basis = "by effective date" if statement.basis == "effective" else "by time of acceptance"
    since, until = (
        at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if isinstance(at, dt.datetime)
        else at and at.isoformat()
        for at in (statement.since, statement.until)
    )
    bounds = [f"from {since}" if since else "", f"to before {until}" if until else ""]
    return f"{' '.join(filter(None, bounds)) or 'everything'}, {basis}"


def _shown(statement: Statement, minor: int) -> str:
    return money.grouped(minor, statement.account.currency)
