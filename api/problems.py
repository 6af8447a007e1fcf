"""The kinds of problems that the API answers with: each code, its HTTP status and its title."""

from typing import NamedTuple

from pipeline.identity.errors import CODES as IDENTITY_CODES
from pipeline.reconcile.errors import CODES as RECONCILE_CODES


class ProblemType(NamedTuple):
    """One kind of problem: its HTTP status and its title."""

    status: int
    title: str


PROBLEMS = {
    "bad_request": ProblemType(400, "The request cannot be read."),
    "malformed_body": ProblemType(400, "The body is not JSON that Trident accepts."),
    "idempotency_key_missing": ProblemType(400, "The Idempotency-Key header is missing."),
    "idempotency_key_invalid": ProblemType(400, "This is no idempotency key."),
    "idempotency_key_reserved": ProblemType(
        400, "This idempotency key is in Trident's own namespace."
    ),
    "invalid_cursor": ProblemType(400, "This is no cursor of this list."),
    "token_missing": ProblemType(401, "No bearer token came with the request."),
    "token_invalid": ProblemType(401, "The bearer token is not valid."),
    "forbidden": ProblemType(403, "The token's roles and scopes do not let it do this."),
    "not_found": ProblemType(404, "There is nothing at this address."),
    "unknown_ledger": ProblemType(404, "The tenant has no ledger of this name."),
    "unknown_account": ProblemType(404, "The ledger has no account with this code."),
    "unknown_operation": ProblemType(404, "The ledger has no operation with this id."),
    "unknown_schedule": ProblemType(404, "The ledger has no schedule with this id."),
    "unknown_api_key": ProblemType(404, "The tenant has no API key with this id."),
    "unknown_subject": ProblemType(404, "The tenant has no subject of this name."),
    "method_not_allowed": ProblemType(405, "This address does not take this method."),
    "not_acceptable": ProblemType(406, "This address answers in none of these formats."),
    "operation_rejected": ProblemType(
        409, "The operation was rejected; `code` says why, as in its `rejection`."
    ),
    "subject_erased": ProblemType(409, "The subject was erased."),
    "subject_restricted": ProblemType(409, "The use of the subject's data is restricted."),
    "subject_not_erased": ProblemType(409, "The subject is not erased."),
    "ledger_exists": ProblemType(409, "The tenant has a ledger of this name already."),
    "api_key_revoked": ProblemType(409, "The API key is revoked."),
    "body_too_large": ProblemType(413, "The body is too large."),
    "too_many_items": ProblemType(413, "The document has too many items."),
    "unsupported_media_type": ProblemType(
        415, "The body is of a type that this address does not take."
    ),
    "invalid_request": ProblemType(422, "A member or parameter is missing or wrong."),
    "filter_unserved": ProblemType(422, "No index serves this search."),
    "report_too_large": ProblemType(422, "The report would be too large in this form."),
    "currency_not_allowed": ProblemType(422, "The tenant does not have this currency."),
    "unknown_kind": ProblemType(422, "There is no such kind of operation."),
    "idempotency_key_reused": ProblemType(422, "The idempotency key belongs to another content."),
    "unstorable": ProblemType(422, "The database refused this content."),
    "rate_limited": ProblemType(429, "There were too many requests."),
    "internal_error": ProblemType(500, "Trident has failed."),
    "personal_tampered": ProblemType(500, "Personal data does not open."),
    "keys_unavailable": ProblemType(503, "The keys of personal data are not at hand."),
    "intake_timeout": ProblemType(503, "The operation was not confirmed in time."),
    "intake_full": ProblemType(503, "Too many operations wait to be accepted."),
    "intake_down": ProblemType(503, "The API process is not taking operations in."),
    "ledger_behind": ProblemType(503, "The ledger lags too far behind its log."),
    "ledger_busy": ProblemType(503, "Somebody else is writing to the ledger's log."),
    "log_ins_uncounted": ProblemType(503, "Nobody is let in just now."),
    "database_unavailable": ProblemType(503, "The database does not answer."),
}
RECONCILE_STATUSES = {
    "malformed_statement": 422,
    "statement_mismatch": 422,
    "unknown_mapping": 404,
    "unknown_line": 404,
    "unknown_posting": 404,
    "unknown_match": 404,
    "already_matched": 409,
    "already_undone": 409,
    "being_booked": 409,
    "unbalanced_match": 422,
    "nothing_to_book": 422,
    "reconciliation_busy": 503,
}
PROBLEMS |= {
    code: ProblemType(status, RECONCILE_CODES[code]) for code, status in RECONCILE_STATUSES.items()
}
IDENTITY_STATUSES = {
    "sign_in_refused": 401,
    "session_ended": 401,
    "ticket_invalid": 401,
    "owners_only": 403,
    "beyond_own": 403,
    "own_roles": 403,
    "own_person": 403,
    "unknown_person": 404,
    "unknown_session": 404,
    "mail_not_set": 404,
    "refresh_raced": 409,
    "person_exists": 409,
    "last_owner": 409,
    "not_active": 409,
    "second_factor_on": 409,
    "second_factor_off": 409,
    "weak_password": 422,
    "code_wrong": 422,
    "mails_spent": 429,
    "sign_in_busy": 503,
}
PROBLEMS |= {
    code: ProblemType(status, IDENTITY_CODES[code]) for code, status in IDENTITY_STATUSES.items()
}
