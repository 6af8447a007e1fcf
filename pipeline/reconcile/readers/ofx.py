"""OFX: version 2 is XML; version 1 is SGML, which is made XML by closing what it leaves open."""

import datetime as dt
import re
from typing import Any

from lxml import etree

from pipeline.reconcile.errors import unreadable
from pipeline.reconcile.readers import xml
from pipeline.reconcile.readers.content import (
    ExternalLine,
    ExternalStatement,
    check_date,
    clean,
    clean_id,
    clean_references,
    finished,
    read_amount,
)

# The header of version 1 stands before the first tag; it has nine short lines.
HEADER_MAX_BYTES = 2_000
CHARSETS = {"1252": "cp1252", "ISO-8859-1": "latin-1", "8859-1": "latin-1", "1250": "cp1250"}
TOKEN = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9._]*)\s*>([^<]*)")
# What may follow an ampersand that is not one by itself. `&nbsp;` is OFX, but not XML.
NO_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9.]*)(?:\[[^\]]{0,20}\])?")
STATEMENTS = ("STMTRS", "CCSTMTRS")


def read(data: bytes, today: dt.date) -> list[ExternalStatement]:
    """The statements of the file; raises Unreadable."""
    body, offset = _as_xml(data)
    reader = _Reader(today, offset)
    for element in xml.elements(body, ("STMTTRN", *STATEMENTS), offset):
        if etree.QName(element).localname == "STMTTRN":
            reader.transaction(element)
            xml.forget(element)
        else:
            reader.finish(element)
    if not reader.found:
        raise unreadable("line 1", "There is no statement (STMTRS or CCSTMTRS) in the file.")
    return reader.found


class _Reader:
    """The statements read so far. The currency stands before the transactions, as in the DTD."""

    def __init__(self, today: dt.date, offset: int) -> None:
        self._today, self._offset = today, offset
        self._lines: list[ExternalLine] = []
        self._statement: ExternalStatement | None = None
        self.found: list[ExternalStatement] = []

    def transaction(self, element: Any) -> None:
        """One line."""
        if self._statement is None:
            self._statement = ExternalStatement(self._currency_above(element))
        statement, at = self._statement, self._place(element)
        currency = xml.text(element, "CURRENCY/CURSYM")
        if currency and currency.strip() != statement.currency:
            raise unreadable(
                self._place(element, "CURRENCY"), f"The account is kept in {statement.currency}."
            )
        if xml.text(element, "CORRECTACTION"):
            raise unreadable(
                self._place(element, "CORRECTACTION"),
                "The bank changes a line that it sent before; do that by hand, and take it out.",
            )
        amount = xml.needed(element, "TRNAMT", self._offset).replace(",", ".")
        name = xml.text(element, "NAME") or xml.text(element, "PAYEE/NAME")
        numbers = ("CHECKNUM", "REFNUM", "SRVRTID")
        account = xml.text(element, "BANKACCTTO/ACCTID") or xml.text(element, "CCACCTTO/ACCTID")
        identity = self._place(element, "FITID")
        statement.add(
            ExternalLine(
                booking_date=self._date(element, "DTPOSTED", needed=True) or self._today,
                value_date=self._date(element, "DTAVAIL"),
                amount=read_amount(amount, statement.currency, self._place(element, "TRNAMT")),
                place=at,
                bank_id=clean_id(xml.needed(element, "FITID", self._offset), identity),
                references=clean_references([xml.text(element, one) for one in numbers]),
                counterparty=clean(name, 140),
                counterparty_account=clean(account, 64),
                description=clean(xml.text(element, "MEMO")),
            )
        )

    def finish(self, element: Any) -> None:
        """The statement that the element was, complete."""
        statement = self._statement
        if statement is None:
            statement = ExternalStatement(xml.needed(element, "CURDEF", self._offset))
        account = xml.text(element, "BANKACCTFROM/ACCTID") or xml.text(element, "CCACCTFROM/ACCTID")
        statement.external_account = clean(account, 64)
        statement.from_date = self._date(element, "BANKTRANLIST/DTSTART")
        statement.to_date = self._date(element, "BANKTRANLIST/DTEND")
        balance = xml.text(element, "LEDGERBAL/BALAMT")
        at = self._date(element, "LEDGERBAL/DTASOF")
        last = max((line.booking_date for line in statement.lines), default=None)
        # A balance of a day before the last line is not the statement's closing balance.
        if balance and at is not None and (last is None or at >= last):
            place = self._place(element, "LEDGERBAL/BALAMT")
            statement.closing_balance = read_amount(
                balance.replace(",", "."), statement.currency, place
            )
            statement.to_date = at
        self.found.append(finished(statement, self._place(element)))
        self._statement = None

    def _currency_above(self, element: Any) -> str:
        for above in element.iterancestors():
            if etree.QName(above).localname in STATEMENTS:
                return xml.needed(above, "CURDEF", self._offset)
        raise unreadable(self._place(element), "The transaction stands in no statement.")

    def _date(self, element: Any, path: str, *, needed: bool = False) -> dt.date | None:
        """YYYYMMDD and perhaps a time; the day is the one that the bank wrote."""
        found = (xml.text(element, path) or "").strip()
        if not found and not needed:
            return None
        match = DATE.fullmatch(found)
        try:
            date = dt.date(*map(int, match.groups())) if match else None
        except ValueError:
            date = None
        if date is None:
            raise unreadable(
                self._place(element, path), f"{found[:40]!r} is no date such as 20261031."
            )
        return check_date(date, self._today, self._place(element, path))

    def _place(self, element: Any, path: str = "") -> str:
        return xml.place(element, path, self._offset)


def _as_xml(data: bytes) -> tuple[bytes, int]:
    """The body as XML, and how many lines of the file stand before it."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    start = data.find(b"<", 0, HEADER_MAX_BYTES)
    if start < 0:
        raise unreadable("line 1", "There is no tag after the header.")
    if data[start : start + 2] == b"<?":
        return data.lstrip(), data[:start].count(b"\n")
    header, body = data[:start], data[start:]
    offset = header.count(b"\n") or header.count(b"\r")
    try:
        text = body.decode(_codec(header))
    except UnicodeDecodeError as error:
        line = offset + body.count(b"\n", 0, error.start) + 1
        raise unreadable(f"line {line}", f"The text is not {error.encoding}.") from None
    return _closed(text, offset).encode(), offset


def _codec(header: bytes) -> str:
    fields = dict(re.findall(r"([A-Z]+):\s*(\S+)", header.decode("ascii", "replace")))
    if fields.get("ENCODING") in ("UTF-8", "UNICODE"):
        return "utf-8"
    charset = fields.get("CHARSET", "1252")
    return CHARSETS.get(charset, "cp1252" if charset == "NONE" else "utf-8")


def _closed(text: str, offset: int) -> str:
    """SGML as XML: elements with a value end behind it, lines stay where they are."""
    ended = set(re.findall(r"</([A-Za-z][A-Za-z0-9._]*)\s*>", text))
    made: list[str] = []
    end, leaf = 0, ""
    for match in TOKEN.finditer(text):
        if match.start() != end:
            raise _stray(text, end, offset)
        end = match.end()
        closing, name, content = match.groups()
        if closing:
            # The end of an element that was ended behind its value already.
            made.append(content if name == leaf else f"</{name}>{content}")
            leaf = ""
            continue
        value = content.strip()
        leaf = name if value or name not in ended else ""
        if leaf:
            breaks = content.count("\n") * "\n"
            made.append(f"<{name}>{_escaped(value)}</{name}>{breaks}")
        else:
            made.append(f"<{name}>{content}")
    if end != len(text):
        raise _stray(text, end, offset)
    return "".join(made)


def _stray(text: str, at: int, offset: int) -> Exception:
    line = text.count("\n", 0, at) + offset + 1
    return unreadable(f"line {line}", "There is a < that begins no tag.")


def _escaped(value: str) -> str:
    return NO_ENTITY.sub("&amp;", value.replace("&nbsp;", " "))
