"""What was promised to whom data is about: sealed everywhere, erased for good, whole for others."""

import http.client
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from models.db import tenant_reading
from pipeline.kinds.personals import PERSONAL
from pipeline.privacy.personal import PREFIX, places
from tests.chaos.clients import Client
from tests.chaos.evidence import Evidence
from tests.chaos.finding import Finding
from tests.chaos.history import History
from tests.chaos.installation import Installation
from tests.chaos.personal import CANARY, ERASED

# Files are read in pieces that overlap by more than what is looked for.
PIECE = 1 << 20
# Operations with personal data that each ledger is asked for one by one.
ASKED = 30
TABLES = text("""
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') ORDER BY 1
""")
SEALED = text("SELECT EXISTS (SELECT FROM operations WHERE body->'personal' IS NOT NULL)")
KEY = text("""
    SELECT wrapped, kek, erased_at FROM data_keys WHERE tenant_id = :tenant AND subject = :subject
""")


def check_privacy(
    installation: Installation, client: Client, history: History, evidence: dict[str, Evidence]
) -> list[Finding]:
    """Every invariant about personal data."""
    engine = superuser(installation.superuser_url)
    with engine.connect() as connection:
        sealed = sealed_everywhere(connection, installation.broker, installation.home.root)
    engine.dispose()
    return [sealed, erased(history, evidence), opens(evidence), shown(client, evidence)]


def superuser(url: str) -> Engine:
    """Who sees the rows of all tenants, as the owner of the tables does not."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg2"))


def sealed_everywhere(connection: Connection, broker: Any, home: Path) -> Finding:
    """In no row, no value of the broker and no file is anything personal in clear.

    `connection` is the superuser's. Rows are read as text, since files may hold them compressed.
    """
    finding = Finding("nothing personal is in clear, in rows, broker or files", of="places")
    sees = connection.execute(SEALED).scalar_one()
    finding.look(bool(sees), "no operation with personal data is seen: nothing was looked at")
    for table in connection.execute(TABLES).scalars():
        # A bytea is shown in hexadecimal.
        clear = f"strpos(t::text, '{CANARY}') > 0 OR strpos(t::text, '{CANARY.encode().hex()}') > 0"
        count = text(f"SELECT count(*) FROM {table} t WHERE {clear}")
        many = connection.execute(count).scalar_one()
        finding.look(not many, f"{many} rows of {table} have personal data in clear")
    for name in broker.scan_iter():
        found = CANARY.encode() in name + (broker.dump(name) or b"")
        finding.look(not found, f"{name!r} of the broker has personal data in clear")
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            finding.look(not _has(path), f"{path.relative_to(home)} has personal data in clear")
    return finding


def _has(path: Path) -> bool:
    wanted, rest = CANARY.encode(), b""
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                if wanted in rest + piece:
                    return True
                rest = piece[-len(wanted) :]
    except FileNotFoundError:  # a file of the servers, which go on
        pass
    return False


def erased(history: History, evidence: dict[str, Evidence]) -> Finding:
    """Whose erasure was acknowledged has no key, and nothing that was sent later names them."""
    finding = Finding("whoever was erased stays so, and nothing names them later", of="looks")
    for act in (act for act in history.acts if act.verb == "erase" and act.done):
        one = evidence[act.tenant]
        with tenant_reading(one.ledger.tenant_id) as connection:
            scope = {"tenant": one.ledger.tenant_id, "subject": PREFIX + act.target}
            row = connection.execute(KEY, scope).one()
        gone = row.wrapped is None and row.kek is None and row.erased_at is not None
        finding.look(gone, f"{act.target} of {act.tenant} was erased, and has a key")
        for attempt in history.attempts:
            if attempt.tenant == act.tenant and act.target in subjects_of(attempt.content):
                late = attempt.result == "ok" and attempt.invoked_at > act.answered_at
                key = attempt.tenant, attempt.key
                finding.look(not late, f"an operation named {act.target} after that", key)
    return finding


def opens(evidence: dict[str, Evidence]) -> Finding:
    """All personal data of the log opens, except that of the erased, which does not."""
    finding = Finding("personal data opens, unless its subject was erased", of="operations")
    for one in evidence.values():
        for row in (row for row in one.log if row.opened):
            for place in places(row.operation.kind, orjson.loads(row.opened)):
                data = place.body[PERSONAL]
                right = ("name" in data) == (data["subject"] != ERASED)
                finding.look(right, f"what opens is {data}", (one.tenant, row.key))
    return finding


def subjects_of(content: dict[str, Any]) -> set[str]:
    """Whom an operation is about."""
    return {place.body[PERSONAL]["subject"] for place in places(content["kind"], content)}


def shown(client: Client, evidence: dict[str, Evidence]) -> Finding:
    """The API shows what is stored of a subject to whoever may see it; of the erased, nothing."""
    finding = Finding("the API shows personal data, and none of the erased", of="operations")
    for one in evidence.values():
        about = [row for row in one.log if PERSONAL in row.content]
        for row in about[:: max(1, len(about) // ASKED)]:
            status, item = client.get(one.tenant, f"/v1/ledgers/main/operations/{row.id}")
            found = item.get(PERSONAL, {})
            stored = orjson.loads(row.opened)[PERSONAL]
            if stored["subject"] == ERASED:
                right = found.keys() == {"subject", "erased_at"}
            else:
                right = "name" in stored and found == stored
            said = f"the API shows {found or item}, stored is {stored}"
            finding.look(status == http.client.OK and right, said, (one.tenant, row.key))
    return finding
