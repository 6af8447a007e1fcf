"""camt.053, the bank-to-customer statement of ISO 20022, versions 02 and newer.

An entry over a batch becomes a line for each of its transactions, if their amounts are there and
sum to the entry; otherwise it is one line that bears their references. Only booked entries count.
The direction of an entry is that of its own CdtDbtInd: the reversal of a debit is a credit.
"""

import datetime as dt
import re
from typing import Any

from lxml import etree

from pipeline.reconcile.errors import unreadable
from pipeline.reconcile.readers import xml
from pipeline.reconcile.readers.content import (
    ExternalLine,
    ExternalStatement,
    clean,
    clean_id,
    clean_references,
    finished,
    read_amount,
    read_iso_date,
)

NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:(camt\.[0-9]{3}\.[0-9]{3}\.[0-9]{2})")
MESSAGE = "camt.053.001."
BOOKED = "BOOK"
OPENING, CLOSING = ("OPBD", "PRCD"), ("CLBD",)
# Where a payment's references stand, the most telling first.
REFERENCES = (
    "Refs/EndToEndId",
    "RmtInf/Strd/CdtrRefInf/Ref",
    "RmtInf/Strd/RfrdDocInf/Nb",
    "Refs/InstrId",
    "Refs/TxId",
    "Refs/UETR",
    "Refs/MndtId",
    "Refs/ChqNb",
    "Refs/AcctSvcrRef",
    "Refs/PmtInfId",
    "Refs/MsgId",
)


def read(data: bytes, today: dt.date) -> list[ExternalStatement]:
    """The statements of the file; raises Unreadable."""
    found: list[ExternalStatement] = []
    reader = _Reader(today)
    checked = False
    for element in xml.elements(data, ("Acct", "Bal", "Ntry", "Stmt", "Document")):
        if not checked:
            _check_message(element)
            checked = True
        name = etree.QName(element).localname
        if name == "Stmt":
            found.append(reader.finish(element))
            reader = _Reader(today)
            xml.forget(element)
        elif name == "Ntry":
            reader.entry(element)
            xml.forget(element)
        elif name == "Bal":
            reader.balance(element)
        elif name == "Acct" and etree.QName(element.getparent()).localname == "Stmt":
            reader.account(element)
    if not found:
        raise unreadable("line 1", "There is no statement (Stmt) in the file.")
    return found


def _check_message(element: Any) -> None:
    match = NAMESPACE.fullmatch(etree.QName(element).namespace or "")
    message = match[1] if match else "something else"
    if not message.startswith(MESSAGE):
        raise unreadable("line 1", f"The file is {message}; a statement is {MESSAGE}02 or newer.")


class _Reader:
    """One statement while it is read. The schema puts account and balances before the entries."""

    def __init__(self, today: dt.date) -> None:
        self._today = today
        self._statement = ExternalStatement(currency="")

    def account(self, element: Any) -> None:
        """Whose statement it is."""
        found = xml.text(element, "Id/IBAN") or xml.text(element, "Id/Othr/Id")
        self._statement.external_account = clean(found, 64)
        self._statement.currency = (xml.text(element, "Ccy") or "").strip()

    def balance(self, element: Any) -> None:
        """The opening or the closing balance; others are left out."""
        code = xml.text(element, "Tp/CdOrPrtry/Cd")
        if code not in (*OPENING, *CLOSING):
            return
        date = self._date(element, "Dt")
        if code in CLOSING:
            self._statement.closing_balance = self._amount(element)
            self._statement.to_date = date
        elif self._statement.opening_balance is None:
            self._statement.opening_balance = self._amount(element)

    def entry(self, element: Any) -> None:
        """The lines of an entry, if it is booked."""
        status = xml.text(element, "Sts/Cd") or xml.text(element, "Sts") or ""
        if status.strip() != BOOKED:
            return
        amount = self._amount(element)
        booked = self._date(element, "BookgDt") or self._date(element, "ValDt")
        if booked is None:
            raise xml.missing(element, "BookgDt")
        whole = ExternalLine(
            booking_date=booked,
            value_date=self._date(element, "ValDt"),
            amount=amount,
            place=xml.place(element),
            bank_id=clean_id(xml.text(element, "AcctSvcrRef"), xml.place(element, "AcctSvcrRef")),
        )
        transactions = element.findall("{*}NtryDtls/{*}TxDtls")
        parts = self._parts(transactions, amount)
        note = clean(xml.text(element, "AddtlNtryInf"))
        batch = [xml.text(one, "PmtInfId") for one in element.findall("{*}NtryDtls/{*}Btch")]
        if parts is None:
            self._statement.add(_line(whole, transactions, note, batch))
            return
        for n, (transaction, part) in enumerate(zip(transactions, parts, strict=True), start=1):
            own = whole._replace(amount=part, place=xml.place(transaction))
            if whole.bank_id is not None:
                own = own._replace(bank_id=f"{whole.bank_id}/{n}"[-255:])
            self._statement.add(_line(own, [transaction], note, batch))

    def finish(self, element: Any) -> ExternalStatement:
        """The statement, complete."""
        statement = self._statement
        if not statement.currency:
            raise xml.missing(element, "Acct/Ccy")
        statement.reference = clean(xml.text(element, "Id"), 64)
        since = xml.text(element, "FrToDt/FrDtTm") or xml.text(element, "FrToDt/FrDt")
        if since:
            at = xml.place(element, "FrToDt")
            statement.from_date = read_iso_date(since, self._today, at)
        return finished(statement, xml.place(element))

    def _parts(self, transactions: list[Any], amount: int) -> list[int] | None:
        """The amounts of a batch's transactions, if they are all there and sum to the entry's."""
        if len(transactions) <= 1:
            return None
        parts = []
        for one in transactions:
            found = one.find("{*}Amt")
            if found is None:
                found = one.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
            if found is None or found.get("Ccy") != self._statement.currency:
                return None
            size = read_amount(found.text or "", self._statement.currency, xml.place(one, "Amt"))
            direction = (xml.text(one, "CdtDbtInd") or "").strip()
            credit = direction == "CRDT" if direction else amount > 0
            parts.append(size if credit else -size)
        return parts if sum(parts) == amount else None

    def _amount(self, element: Any) -> int:
        currency = self._currency_of(element)
        size = read_amount(xml.needed(element, "Amt"), currency, xml.place(element, "Amt"))
        direction = xml.needed(element, "CdtDbtInd")
        if direction not in ("CRDT", "DBIT") or size < 0:
            raise unreadable(xml.place(element, "CdtDbtInd"), "This is neither CRDT nor DBIT.")
        return size if direction == "CRDT" else -size

    def _currency_of(self, element: Any) -> str:
        amount = element.find("{*}Amt")
        currency = "" if amount is None else amount.get("Ccy", "")
        # Acct/Ccy is optional: then the first amount says what the account keeps.
        self._statement.currency = self._statement.currency or currency
        if currency != self._statement.currency:
            raise unreadable(
                xml.place(element, "Amt"),
                f"The amount is in {currency[:10] or 'no currency'}, the account in"
                f" {self._statement.currency[:10]}.",
            )
        return str(currency)

    def _date(self, element: Any, path: str) -> dt.date | None:
        found = xml.text(element, f"{path}/Dt") or xml.text(element, f"{path}/DtTm")
        return read_iso_date(found, self._today, xml.place(element, path)) if found else None


def _line(
    line: ExternalLine, transactions: list[Any], note: str | None, batch: list[str | None]
) -> ExternalLine:
    """The line with what its transactions say about it."""
    # A line over many transactions bears the references of the first of them only.
    told = transactions[:20]
    references = [xml.text(one, path) for path in REFERENCES for one in told]
    free = [found.text for one in told for found in one.findall("{*}RmtInf/{*}Ustrd")]
    free += [xml.text(one, "AddtlTxInf") for one in told]
    other = _other_side(told[0], credit=line.amount > 0) if len(told) == 1 else (None, None)
    return line._replace(
        references=clean_references([*references, *batch]),
        description=clean(" ".join([text for text in free if text] or ([note] if note else []))),
        counterparty=clean(other[0], 140),
        counterparty_account=clean(other[1], 64),
    )


def _other_side(transaction: Any, *, credit: bool) -> tuple[str | None, str | None]:
    """Who paid, or was paid: name and account. Versions since 08 have a `Pty` in between."""
    who = "Dbtr" if credit else "Cdtr"
    party = f"RltdPties/{who}"
    name = xml.text(transaction, f"{party}/Nm") or xml.text(transaction, f"{party}/Pty/Nm")
    account = f"RltdPties/{who}Acct/Id"
    number = xml.text(transaction, f"{account}/IBAN") or xml.text(transaction, f"{account}/Othr/Id")
    return name, number
