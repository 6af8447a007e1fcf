"""Every error that the API answers with, as problem details (RFC 9457).

Problem ──────── ours: a code of PROBLEMS, or of pipeline.refusal.CODES for a rejected operation
ReconcileError ─ of pipeline.reconcile, whose codes are problems too
IdentityError ── of pipeline.identity, likewise
OutError ─────── 401 token_invalid: it counted when the request began
HTTPException ── Flask's and werkzeug's own (404, 405, 413, ...), given the same shape
database gone ── 503 database_unavailable
KeyRingError ─── 503 keys_unavailable
TamperedError ── 500 personal_tampered
anything else ── 500 internal_error: logged with its traceback, answered without
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg2
import structlog
from flask import Flask, Response
from marshmallow import ValidationError
from sqlalchemy.exc import DBAPIError, DisconnectionError, TimeoutError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from api.answers import dump, request_id
from api.problems import PROBLEMS
from models.key_ring import KeyRingError
from models.sealed import TamperedError
from pipeline.accept import TENANT_DELETED
from pipeline.identity.errors import IdentityError, OutError
from pipeline.reconcile.errors import ReconcileError, Unreadable

PROBLEM_JSON = "application/problem+json"
# A person fixes one error after the other; a body of 100,000 wrong members gets no 100,000 answers.
ERRORS_MAX = 20
PATH_MAX_LENGTH = 200
DATABASE_ERRORS = (DBAPIError, DisconnectionError, TimeoutError, psycopg2.Error)
# What a full or lagging Trident asks of a client, in seconds: a stage's run takes about one.
RETRY_AFTER_S = 1

GONE = "It does not count any more. Nothing was changed."

log = structlog.get_logger("trident.api")


TRANSIENT = 503
# Flask's own errors that have a code of ours; the others are named after their status.
BY_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    500: "internal_error",
}


class Problem(Exception):
    """An answer that says what is wrong, where (`param`), and in `detail` what to do."""

    def __init__(
        self, code: str, detail: str, *, param: str | None = None, **members: object
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.status, self.title = PROBLEMS[code]
        self.detail = detail
        self.param = param
        self.members = members
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, Any]:
        """The problem as JSON, without the request that it belongs to."""
        shown = {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.param is not None:
            shown["param"] = self.param
        return shown | self.members

    def response(self) -> Response:
        """The answer to the request at hand."""
        answer = Response(
            dump(self.body() | {"request_id": request_id()}),
            self.status,
            content_type=PROBLEM_JSON,
        )
        if self.status == TRANSIENT:
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        if self.status == HTTPStatus.UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="trident"'
        answer.headers.update(self.headers)
        return answer


class Rejected(Problem):
    """An operation of the log that was refused for ever, where the request asked for its effect."""

    def __init__(self, operation: Mapping[str, Any]) -> None:
        rejection = operation["rejection"]
        super().__init__(
            "operation_rejected",
            f"{rejection['message']} It stays refused under its key: when this has changed, send"
            " it with another one.",
            operation=operation["id"],
            rejection=rejection,
        )
        self.code = rejection["code"]
        self.title = rejection["message"]


def from_reconcile(error: ReconcileError) -> Problem:
    """What a reconciliation refuses; of a file that cannot be read, every fault with its place."""
    if isinstance(error, Unreadable):
        errors = [{"param": fault.place, "detail": fault.message} for fault in error.faults]
        return Problem(error.code, str(error), errors=errors)
    return Problem(error.code, str(error))


def invalid(error: ValidationError) -> Problem:
    """What marshmallow found, as one problem: the first error in front, all of them behind it."""
    return invalid_members(error.normalized_messages())


def invalid_members(messages: Mapping[Any, Any]) -> Problem:
    """The same from messages by member name, however deep."""
    errors = [{"param": path, "detail": text} for path, text in _flat(messages, "")]
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return Problem(
        "invalid_request",
        f"{first['param']}: {first['detail']}{more}",
        param=first["param"],
        errors=errors[:ERRORS_MAX],
    )


def _flat(messages: Mapping[Any, Any], path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, below in messages.items():
        # Marshmallow files what concerns an object as a whole under "_schema".
        here = path if name == "_schema" else f"{path}.{name}" if path else str(name)
        if isinstance(below, Mapping):
            found += _flat(below, here)
        else:
            texts = [below] if isinstance(below, str) else below
            found.append(((here or "body")[:PATH_MAX_LENGTH], " ".join(map(str, texts))))
        if len(found) > ERRORS_MAX:
            break
    return found


def register(app: Flask) -> None:
    """Let every error of the app leave as a problem."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(ReconcileError, lambda error: from_reconcile(error).response())
    app.register_error_handler(IdentityError, _from_identity)
    app.register_error_handler(OutError, lambda _: Problem("token_invalid", GONE).response())
    app.register_error_handler(KeyRingError, _from_keys)
    app.register_error_handler(TamperedError, lambda error: tampered(error).response())
    app.register_error_handler(HTTPException, _from_http)
    for gone in DATABASE_ERRORS:
        app.register_error_handler(gone, _from_database)
    app.register_error_handler(Exception, _from_bug)


def _from_identity(error: IdentityError) -> Response:
    problem = Problem(error.code, str(error))
    if error.retry_after_s is not None:
        problem.headers["Retry-After"] = str(error.retry_after_s)
    return problem.response()


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if messages:
        # webargs files its messages by where the argument stood: {"query": {...}}.
        return invalid_members(next(iter(messages.values()))).response()
    code = BY_STATUS.get(status, "bad_request")
    problem = Problem(code, _advice(error))
    problem.status = status
    if code == "bad_request":
        problem.title = f"{error.name}."
    answer = problem.response()
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "Location"):
            answer.headers[name] = value
    return answer


def _advice(error: HTTPException) -> str:
    """What to do about one of werkzeug's errors; their own texts speak of browsers."""
    if isinstance(error, NotFound):
        return "/docs shows every address that there is."
    if isinstance(error, MethodNotAllowed):
        return f"It takes {', '.join(sorted(error.valid_methods or ()))}; /docs shows what for."
    return error.description or "/docs shows what requests look like."


def _from_database(error: Exception) -> Response:
    """What the database could not do now, it may do later; a bug in our SQL it will not."""
    cause = getattr(error, "orig", error)
    if getattr(cause, "pgcode", None) == TENANT_DELETED:
        return Problem("token_invalid", "The token's tenant is deleted.").response()
    transient = isinstance(
        cause, psycopg2.OperationalError | psycopg2.InterfaceError | TimeoutError
    ) or isinstance(error, DisconnectionError)
    if not transient:
        return _from_bug(error)
    log.warning("database_unavailable", error=type(cause).__name__, request_id=request_id())
    detail = "The database cannot be reached or is too slow just now. Try again in a second."
    return Problem("database_unavailable", detail).response()


def _from_keys(error: KeyRingError) -> Response:
    log.error("keys_unavailable", reason=str(error), request_id=request_id())
    detail = "The keys of what is sealed cannot be had just now. Try again later."
    return Problem("keys_unavailable", detail).response()


def tampered(error: TamperedError) -> Problem:
    """What was sealed does not open: told of, and answered."""
    log.error("personal_data_tampered", reason=str(error), request_id=request_id())
    return Problem(
        "personal_tampered",
        "Something that was sealed, or its key, is not as it was stored. Those who look after"
        " this installation were told; `trident verify` shows whether the log was changed.",
    )


def _from_bug(error: Exception) -> Response:
    log.error("request_failed", exc_info=error, request_id=request_id())
    detail = "Trident could not answer; its log has the reason under this request_id."
    return Problem("internal_error", detail).response()
