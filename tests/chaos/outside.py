"""What the API says after a run, and what one tenant can see of another."""

from typing import Any

from sqlalchemy import text

from models.db import tenant_reading
from tests.chaos.clients import Client
from tests.chaos.evidence import Evidence
from tests.chaos.fates import approved_by
from tests.chaos.finding import Finding

PAGE = 100
# Operations that are asked for one by one, with their postings, from each ledger.
ASKED = 50
TABLES = (
    "tenants",
    "ledgers",
    "operations",
    "idempotency_keys",
    "accounts",
    "rejections",
    "postings",
    "decisions",
    "pending_operations",
    "ledger_settings",
    "limit_usage",
    "runs",
    "audit_blocks",
    "attempts",
    "operation_statuses",
    "people",
    "tickets",
    "sessions",
    "api_keys",
    "data_keys",
    "subjects",
    "subject_mentions",
)


def check_api(client: Client, evidence: dict[str, Evidence]) -> list[Finding]:
    """Every invariant that is seen from outside."""
    findings = [statuses(client, evidence), shown(client, evidence), isolated(client, evidence)]
    client.close()
    return findings


def statuses(client: Client, evidence: dict[str, Evidence]) -> Finding:
    """The API lists exactly the operations of the log, with the status that follows from it."""
    finding = Finding("the API lists every operation with its status", of="operations")
    for one in evidence.values():
        listed = {item["idempotency_key"]: item for item in _listed(client, one.tenant)}
        for row in one.log:
            position = row.operation.position
            item = listed.pop(row.key, {})
            expected = row.id, position, one.status(position), one.code(position) or None
            found = item.get("id"), item.get("position"), item.get("status"), _code(item)
            said = f"the API says {found}, stored is {expected}"
            finding.look(found == expected, said, (one.tenant, row.key))
        finding.look(not listed, f"the API lists operations that are not stored: {list(listed)}")
    return finding


def shown(client: Client, evidence: dict[str, Evidence]) -> Finding:
    """One by one, evenly over the log: the API shows the stored postings."""
    finding = Finding("the API shows operations with their postings", of="operations")
    for one in evidence.values():
        codes = {account.number: code for code, account in one.accounts.items()}
        for row in one.log[:: max(1, len(one.log) // ASKED)]:
            _, item = client.get(one.tenant, f"/v1/ledgers/main/operations/{row.id}")
            found = [_signed(posting) for posting in item.get("postings", [])]
            legs = one.postings.get(approved_by(one, row.operation.position), [])
            expected = [(codes.get(leg.account), leg.pending, leg.amount) for leg in legs]
            said = f"the API shows {found or item}, stored is {expected}"
            finding.look(found == expected, said, (one.tenant, row.key))
    return finding


def isolated(client: Client, evidence: dict[str, Evidence]) -> Finding:
    """Promise 6: no row of another tenant in any table, nor at the API."""
    finding = Finding("each tenant sees its own rows and no others", of="looks")
    for one in evidence.values():
        with tenant_reading(one.ledger.tenant_id) as connection:
            for table in TABLES:
                count = text(f"SELECT count(*) FROM {table} WHERE tenant_id <> :tenant")
                scope = {"tenant": one.ledger.tenant_id}
                strange = connection.execute(count, scope).scalar_one()
                finding.look(not strange, f"{one.tenant} sees {strange} strange rows in {table}")
        for other in evidence.values():
            if other is not one and other.log:
                path = f"/v1/ledgers/main/operations/{other.log[-1].id}"
                status, _ = client.get(one.tenant, path)
                said = f"{one.tenant} asked for an operation of {other.tenant}: {status}"
                finding.look(status == 404, said)
    return finding


def _listed(client: Client, tenant: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after = ""
    while True:
        query = f"order=oldest&limit={PAGE}{after}"
        status, page = client.get(tenant, f"/v1/ledgers/main/operations?{query}")
        assert status == 200, f"the list of {tenant} was answered with {status}: {page}"
        items += page["data"]
        if not page["has_more"]:
            return items
        after = f"&after={page['next']}"


def _code(item: dict[str, Any]) -> str | None:
    rejection = item.get("rejection")
    return None if rejection is None else str(rejection["code"])


def _signed(posting: dict[str, Any]) -> tuple[str, bool, int]:
    sign = 1 if posting["direction"] == "credit" else -1
    return posting["account"], posting["pending"], sign * posting["amount"]
