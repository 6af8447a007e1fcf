"""rest and wait: single POSTs over many connections at once, from a load generator."""

import http.client
from collections.abc import Mapping

from sqlalchemy import text

from bench.bulk import ACCOUNTS
from bench.figures import Figures
from bench.generator import generator, play
from bench.measure import new_ledger, open_accounts, pace, reached
from models.db import tenant_reading
from models.ledger import LedgerRef

REST_CONNECTIONS = (1, 16, 64, 256)
WAIT_CONNECTIONS = (1, 16, 64)
WAIT = "wait=5"

ACCEPTED_AT = text(
    "SELECT extract(epoch FROM min(accepted_at))::float,"
    " extract(epoch FROM max(accepted_at))::float FROM operations"
    " WHERE tenant_id = :tenant AND ledger_id = :ledger AND position > :after"
)


def rest(env: Mapping[str, str], seconds: int) -> Figures:
    """Accepted as fast as the connections ask; then until all is posted."""
    cases = {shown(n): accepting(env, n, seconds) for n in REST_CONNECTIONS}
    notes = [
        "accepted/s: from the first accept to the last. posted/s: to the last posted.",
        "Accept latencies as the generator saw them; drain: from the last accept to its posting.",
        f"Generator: {generator()}; its part is of one core of the same machine.",
    ]
    return Figures("rest", f"rest: single POSTs for {seconds} s", cases, notes)


def wait(env: Mapping[str, str], seconds: int) -> Figures:
    """Each request asks to be answered when its operation is final."""
    cases = {shown(n): waiting(env, n, seconds) for n in WAIT_CONNECTIONS}
    notes = [
        f"Prefer: {WAIT}; final: posted or rejected in the answer. Who finds no free place to wait"
        " is answered at once.",
        f"Generator: {generator()}; its part is of one core of the same machine.",
    ]
    return Figures("wait", f"wait: POSTs that wait to be final, for {seconds} s", cases, notes)


def shown(connections: int) -> str:
    """A column's heading."""
    return f"{connections} conn."


def accepting(env: Mapping[str, str], connections: int, seconds: int) -> dict[str, float]:
    """The figures of one number of connections."""
    ledger = new_ledger("rest")
    open_accounts(ledger, ACCOUNTS)
    before = reached(ledger, "accept")
    answers = play(env, ledger, connections, seconds)
    last = reached(ledger, "accept")
    began, accepted = accepted_between(ledger, before)
    paced = pace(last - before, began, accepted, [(ledger, last)])
    assert last - before >= answers.answered - sum(answers.errors.values())
    return {
        "accepted_per_s": paced.figures["accepted_per_s"],
        "accept_p50_ms": answers.p50_ms,
        "accept_p99_ms": answers.p99_ms,
        "posted_per_s": paced.figures["posted_per_s"],
        "drain_s": paced.posted - paced.accepted,
        "errors": sum(answers.errors.values()),
        **answers.errors,
        "generator_%_of_core": answers.core_share,
    }


def waiting(env: Mapping[str, str], connections: int, seconds: int) -> dict[str, float]:
    """The figures of one number of connections that wait."""
    ledger = new_ledger("wait")
    open_accounts(ledger, ACCOUNTS)
    before = reached(ledger, "accept")
    answers = play(env, ledger, connections, seconds, prefer=WAIT)
    began, accepted = accepted_between(ledger, before)
    final = answers.by_status.get(f"status_{http.client.OK:d}", 0)
    return {
        "answered_per_s": answers.answered / (accepted - began),
        "final_per_s": final / (accepted - began),
        "final_%": 100 * final / answers.answered,
        "p50_ms": answers.p50_ms,
        "p99_ms": answers.p99_ms,
        "errors": sum(answers.errors.values()),
        **answers.errors,
        "generator_%_of_core": answers.core_share,
    }


def accepted_between(ledger: LedgerRef, after: int) -> tuple[float, float]:
    """When the first and the last operation after a position were accepted."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "after": after}
    with tenant_reading(ledger.tenant_id) as connection:
        first, last = connection.execute(ACCEPTED_AT, scope).one()
    return first, last
