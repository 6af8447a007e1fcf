"""Ways to change a ledger behind Trident's back, and where `trident verify` must find each.

The statements run as the owner of the tables, with the guards switched off, on the books of
test_verify.py: nine operations, sealed in three blocks (1 to 4, 5 to 7, 8 to 9).
"""

DEPOSIT, PAYMENT, REFUSED, SECOND, THIRD = 4, 5, 6, 7, 8

WHERE = "WHERE ledger_id = %(ledger)s AND position"

TAMPERED: list[tuple[str, list[str], dict[str, int | str | None]]] = [
    (
        "a posting's amount",
        [f"UPDATE postings SET amount = amount - 1 {WHERE} = {PAYMENT} AND leg = 0"],
        {"postings": 5, "versions": 5, "chain": 5, "replay": 5},
    ),
    (
        "a posting's balance",
        [f"UPDATE postings SET balance_after = 7 {WHERE} = {SECOND} AND leg = 1"],
        {"versions": 7, "chain": 5, "replay": 7},
    ),
    (
        "a payment, its balances and its accounts",
        [
            f"UPDATE postings SET amount = sign(amount) * 90 {WHERE} = {PAYMENT}",
            f"UPDATE postings SET balance_after = balance_after + 10 {WHERE} >= {PAYMENT}"
            " AND account = 2",
            f"UPDATE postings SET balance_after = balance_after - 10 {WHERE} >= {PAYMENT}"
            " AND account = 3",
            "UPDATE accounts SET debits_posted = debits_posted - 10"
            " WHERE ledger_id = %(ledger)s AND code = 'ada'",
            "UPDATE accounts SET credits_posted = credits_posted - 10"
            " WHERE ledger_id = %(ledger)s AND code = 'bob'",
        ],
        {"chain": 5, "replay": 5},
    ),
    (
        "a posting is deleted",
        [f"DELETE FROM postings {WHERE} = {SECOND} AND leg = 1"],
        {"postings": 7, "versions": 8, "chain": 5, "replay": 7},
    ),
    (
        "a posting is added",
        [
            "INSERT INTO postings SELECT position, 9, 1, 1050, tenant_id, ledger_id, 2, 2,"
            f" currency, pending FROM postings {WHERE} = {THIRD} AND leg = 0"
        ],
        {"postings": 8, "versions": 8, "chain": 8, "replay": 8},
    ),
    (
        "a refusal's code",
        [f"UPDATE rejections SET code = 'account_closed' {WHERE} = {REFUSED}"],
        {"chain": 5, "replay": 6},
    ),
    (
        "a refusal's detail",
        [f"""UPDATE rejections SET detail = '{{"account":"ada"}}' {WHERE} = {REFUSED}"""],
        {"chain": 5, "replay": 6},
    ),
    (
        "a refusal's stage",
        [f"UPDATE rejections SET stage = 'authorize' {WHERE} = {REFUSED}"],
        {"chain": 5, "replay": 6},
    ),
    (
        "a refusal is deleted",
        [f"DELETE FROM rejections {WHERE} = {REFUSED}"],
        {"postings": 6, "chain": 5, "replay": 6},
    ),
    (
        "a payment is refused afterwards",
        [
            "INSERT INTO rejections SELECT 5, tenant_id, ledger_id, stage, code, detail"
            f" FROM rejections {WHERE} = {REFUSED}"
        ],
        {"postings": 5, "chain": 5, "replay": 5},
    ),
    (
        "an amount in the log",
        [
            "UPDATE operations SET body = replace(body::text, '200', '900')::json"
            f" {WHERE} = {SECOND}"
        ],
        {"chain": 5, "replay": 7},
    ),
    (
        "a body that is no operation any more",
        [f"UPDATE operations SET body = '{{}}' {WHERE} = {SECOND}"],
        {"chain": 5, "replay": 7},
    ),
    (
        "words in the log",
        [
            """UPDATE operations SET body = replace(body::text, '{', '{"description":"x",')::json"""
            f" {WHERE} = {SECOND}"
        ],
        {"chain": 5},
    ),
    (
        "a key in the log",
        [f"UPDATE operations SET idempotency_key = 'other' {WHERE} = {SECOND}"],
        {"log": 7, "chain": 5},
    ),
    (
        "who did it",
        [f"""UPDATE operations SET principal = '{{"sub":"eve","roles":["admin"]}}' {WHERE} = 7"""],
        {"chain": 5},
    ),
    (
        "a kind in the log",
        [f"UPDATE operations SET kind = 'gift' {WHERE} = {SECOND}"],
        {"postings": 7, "chain": 5, "replay": 7},
    ),
    (
        "a time in the log",
        [f"UPDATE operations SET accepted_at = accepted_at - interval '1 day' {WHERE} = {SECOND}"],
        {"log": 7, "chain": 5},
    ),
    (
        "an id in the log",
        [
            f"UPDATE operations SET id = (SELECT id FROM operations {WHERE} = {PAYMENT})"
            f" {WHERE} = {SECOND}"
        ],
        {"log": 7, "chain": 5},
    ),
    (
        "an operation is deleted, and all that came of it",
        [
            f"DELETE FROM operations {WHERE} = {PAYMENT}",
            f"DELETE FROM postings {WHERE} = {PAYMENT}",
            f"DELETE FROM idempotency_keys {WHERE} = {PAYMENT}",
        ],
        {"log": 5, "versions": 7, "chain": 5, "replay": 6},
    ),
    (
        "an operation is deleted, and nothing else",
        [f"DELETE FROM operations {WHERE} = {PAYMENT}"],
        {"log": 5, "postings": 5, "chain": 5, "replay": 6},
    ),
    (
        "two operations change places",
        [
            f"UPDATE operations SET position = 1000 {WHERE} = {PAYMENT}",
            f"UPDATE operations SET position = {PAYMENT} {WHERE} = {SECOND}",
            f"UPDATE operations SET position = {SECOND} {WHERE} = 1000",
        ],
        {"log": 5, "chain": 5, "replay": 5},
    ),
    (
        "a key is deleted",
        [f"DELETE FROM idempotency_keys {WHERE} = {PAYMENT}"],
        {"log": 5},
    ),
    (
        "a key is added",
        [
            "INSERT INTO idempotency_keys SELECT position, tenant_id, ledger_id,"
            f" gen_random_uuid() FROM idempotency_keys {WHERE} = {PAYMENT}"
        ],
        {"log": None},
    ),
    (
        "an account's totals",
        [
            "UPDATE accounts SET debits_posted = debits_posted + 5,"
            " credits_posted = credits_posted + 5 WHERE ledger_id = %(ledger)s AND code = 'bob'"
        ],
        {"accounts": "bob", "replay": "bob"},
    ),
    (
        "an account's overdraft",
        ["UPDATE accounts SET overdraft = 5 WHERE ledger_id = %(ledger)s AND code = 'ada'"],
        {"replay": "ada"},
    ),
    (
        "an account's status",
        ["UPDATE accounts SET status = 'open' WHERE ledger_id = %(ledger)s AND code = 'bob'"],
        {"replay": "bob"},
    ),
    (
        "an account's code",
        ["UPDATE accounts SET code = 'eve' WHERE ledger_id = %(ledger)s AND code = 'bob'"],
        {"replay": "eve"},
    ),
    (
        "an account is deleted",
        ["DELETE FROM accounts WHERE ledger_id = %(ledger)s AND code = 'bob'"],
        {"accounts": "number 3", "replay": "bob"},
    ),
    (
        "an account is added",
        [
            "INSERT INTO accounts (tenant_id, ledger_id, number, currency, code, type)"
            " VALUES (1, %(ledger)s, 4, 'EUR', 'eve', 'asset')"
        ],
        {"replay": "eve"},
    ),
    (
        "a run is deleted",
        [
            "DELETE FROM runs WHERE ledger_id = %(ledger)s AND stage = 'authorize'"
            f" AND from_position = {PAYMENT}"
        ],
        {"runs": 5},
    ),
    (
        "a run goes too far",
        ["INSERT INTO runs VALUES (10, 12, now(), 1, %(ledger)s, 'validate')"],
        {"runs": 12},
    ),
    (
        "a block's root",
        [
            "UPDATE audit_blocks SET root = set_byte(root, 7, get_byte(root, 7) # 1)"
            " WHERE ledger_id = %(ledger)s AND height = 2"
        ],
        {"chain": 5},
    ),
    (
        "a block's hash",
        [
            "UPDATE audit_blocks SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)"
            " WHERE ledger_id = %(ledger)s AND height = 2"
        ],
        {"chain": 5},
    ),
    (
        "a block is deleted",
        ["DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s AND height = 2"],
        {"chain": 5},
    ),
    (
        "the last block is deleted",
        ["DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s AND height = 3"],
        {"chain": 8, "head": 9},
    ),
    (
        "a block is made huge",
        [
            "UPDATE audit_blocks SET to_position = 1000000007, leaf_count = 1000000000"
            " WHERE ledger_id = %(ledger)s AND height = 3"
        ],
        {"chain": 8, "head": 9},
    ),
]

# The last block and all that it seals, taken away without a trace inside the database.
CUT_OFF = [
    *(
        f"DELETE FROM {table} {WHERE} > 7"
        for table in ("operations", "idempotency_keys", "postings")
    ),
    "DELETE FROM runs WHERE ledger_id = %(ledger)s AND to_position > 7",
    "DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s AND height > 2",
    """
    UPDATE accounts a SET status = 'open', version = p.version,
           debits_posted = p.debits, credits_posted = p.credits
      FROM (SELECT account, max(version) AS version, -sum(least(amount, 0)) AS debits,
                   sum(greatest(amount, 0)) AS credits
              FROM postings WHERE ledger_id = %(ledger)s GROUP BY account) p
     WHERE a.ledger_id = %(ledger)s AND a.number = p.account
    """,
]

# Other words in the log, and nothing left of the blocks that would show it.
REWRITTEN = [
    """UPDATE operations SET body = replace(body::text, '{', '{"description":"x",')::json"""
    f" {WHERE} = {SECOND}",
    "DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s",
    "DELETE FROM runs WHERE ledger_id = %(ledger)s AND stage IN ('audit', 'notify')",
]
