"""What tests do with a ledger: open accounts, move money, run the stages, look at the outcome."""

import itertools
from typing import Any

import orjson
from sqlalchemy import text

from models.db import app_engine, raw_connection, tenant_reading, tenant_writing
from models.ledger import LedgerRef
from pipeline.accept import accept
from pipeline.drain import drain
from pipeline.receipt import Accepted, Receipt, Submission
from pipeline.stage import STAGES
from pipeline.strict_json import canonical

ADMIN = orjson.dumps({"roles": ["admin"], "sub": "test"})
_names = itertools.count(1)


def new_ledger(tenant_id: int = 1) -> LedgerRef:
    """An empty ledger of the tenant."""
    name = f"test-{next(_names)}"
    with tenant_writing(tenant_id) as connection:
        statement = (
            "INSERT INTO ledgers (tenant_id, name) VALUES (:tenant, :name) RETURNING ledger_id"
        )
        ledger_id = connection.execute(text(statement), {"tenant": tenant_id, "name": name})
        return LedgerRef(tenant_id, ledger_id.scalar_one(), name)


class Bank:
    """One ledger under test."""

    def __init__(self, ledger: LedgerRef) -> None:
        self.ledger = ledger
        self._keys = itertools.count(1)

    def submission(
        self, kind: str, body: dict[str, Any], *, key: str = "", principal: bytes = ADMIN
    ) -> Submission:
        """A submission under a key of its own, unless one is given."""
        return Submission(key or f"key-{next(self._keys)}", kind, canonical(body), principal)

    def accept(self, *submissions: Submission, max_lag: int = 10**9) -> list[Receipt]:
        """Accept them together."""
        with raw_connection(app_engine()) as connection:
            return accept(connection, self.ledger, submissions, max_lag)

    def submit(self, kind: str, body: dict[str, Any], **kwargs: Any) -> Accepted:
        """Accept one operation."""
        (receipt,) = self.accept(self.submission(kind, body, **kwargs))
        assert isinstance(receipt, Accepted)
        return receipt

    def open(self, code: str, **attributes: Any) -> Accepted:
        """A liability in EUR without overdraft, unless attributes say otherwise."""
        body = {"code": code, "type": "liability", "currency": "EUR", "overdraft": 0}
        return self.submit("open_account", {**body, **attributes})

    def transfer(self, source: str, destination: str, amount: int, **kwargs: Any) -> Accepted:
        """Euro cents from source to destination."""
        return self.submit("transfer", transfer(source, destination, amount), **kwargs)

    def work(self) -> None:
        """Every stage, once, until nothing is left."""
        for stage in STAGES:
            while drain(stage, self.ledger).more:
                pass

    def work_once(self) -> None:
        """Every stage, called once."""
        for stage in STAGES:
            drain(stage, self.ledger)

    def fund(self, code: str, amount: int) -> None:
        """Pay the amount into the account, which is opened, as `world` is, if need be."""
        for name, attributes in (
            ("world", {"type": "asset", "overdraft": "unlimited"}),
            (code, {}),
        ):
            if not self.rows(
                "SELECT FROM accounts WHERE ledger_id = :ledger AND code = :code", code=name
            ):
                self.open(name, **attributes)
        self.transfer("world", code, amount)
        self.work()

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        """What the tenant sees; `:ledger` is this ledger."""
        with tenant_reading(self.ledger.tenant_id) as connection:
            parameters["ledger"] = self.ledger.ledger_id
            return list(connection.execute(text(query), parameters).all())

    def status(self, receipt: Accepted) -> str:
        """The derived status of an operation."""
        query = "SELECT status FROM operation_statuses WHERE ledger_id = :ledger AND position = :at"
        return str(self.rows(query, at=receipt.position)[0][0])

    def rejection(self, receipt: Accepted) -> str | None:
        """The code with which the operation was rejected."""
        query = "SELECT code FROM rejections WHERE ledger_id = :ledger AND position = :at"
        found = self.rows(query, at=receipt.position)
        return found[0][0] if found else None

    def balance(self, code: str) -> int:
        """Credits less debits, in minor units."""
        query = (
            "SELECT credits_posted - debits_posted FROM accounts"
            " WHERE ledger_id = :ledger AND code = :code"
        )
        return int(self.rows(query, code=code)[0][0])


def transfer(source: str, destination: str, amount: int, currency: str = "EUR") -> dict[str, Any]:
    """The body of a transfer."""
    return {
        "source": source,
        "destination": destination,
        "amount": amount,
        "currency": currency,
    }
