"""Subjects: what is held of a person, exported, restricted, erased; and the proof of that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from flask import Response, stream_with_context
from flask_smorest import Blueprint
from sqlalchemy import Connection

from api import openapi
from api.answers import answer
from api.auth import may
from api.errors import Problem
from api.identity.asking import actor_of, committed
from api.intake import JSON
from api.privacy.edge import keys_at_hand
from api.state import state
from api.tokens import Principal
from models.db import tenant_reading
from models.key_ring import key_ring
from models.signing_key import signing_keys
from pipeline.came_from import telling
from pipeline.events import Event, Recorded, record
from pipeline.identity import erasure
from pipeline.privacy import subjects
from pipeline.privacy.certificate import certify
from pipeline.privacy.data_keys import ErasedError, UnknownSubjectError
from pipeline.privacy.export import about, export

blueprint = Blueprint(
    "Subjects",
    __name__,
    url_prefix="/v1/subjects",
    description="Whom personal data is about, by the tenant's own references, or `person:…` for its"
    " people. The data of each is sealed under a key of its own, and erased with that.",
)

REF = {
    "in": "path",
    "name": "ref",
    "description": "The subject's reference, as it is or percent-encoded.",
    "example": "customer-42",
}
CHANGED = ("unknown_subject", "subject_erased", "owners_only", "last_owner")
SUBJECT = {200: ("Subject", "It, as it is now.")}

Act = Callable[[Connection, int, str, str], Recorded | None]


@blueprint.route("/<reference:ref>", methods=["GET"], parameters=[dict(REF)])
@blueprint.doc(**openapi.route(SUBJECT, problems=("unknown_subject",), action="subjects.read"))
def show(ref: str) -> Response:
    """Show the state of a subject

    `open`, `restricted`, `erasure_due` (erased when retention ends) or `erased`; never its data.
    """
    return answer(_state(may("subjects.read"), ref))


@blueprint.route("/<reference:ref>/restrict", methods=["POST"], parameters=[dict(REF)])
@blueprint.doc(**openapi.route(SUBJECT, problems=CHANGED, action="subjects.restrict"))
def restrict(ref: str) -> Response:
    """Restrict the use of a subject's data

    No new operation may name it; what was accepted stays. Repeating an operation that was accepted
    before goes on to be answered. Somebody of the tenant's people signs in no more and their
    sessions end; an owner only by an owner, and never the last.
    """
    return _change(ref, "subjects.restrict", subjects.restrict)


@blueprint.route("/<reference:ref>/unrestrict", methods=["POST"], parameters=[dict(REF)])
@blueprint.doc(
    **openapi.route(SUBJECT, problems=(*CHANGED, "beyond_own"), action="subjects.restrict")
)
def unrestrict(ref: str) -> Response:
    """Lift a restriction

    An erasure that waits for the end of retention is taken back with it. Nobody lets a person in
    again who may do more than they.
    """
    return _change(ref, "subjects.restrict", subjects.unrestrict)


@blueprint.route("/<reference:ref>/erase", methods=["POST"], parameters=[dict(REF)])
@blueprint.doc(
    **openapi.route(
        {
            200: ("ErasureCertificate", "It is erased, for good."),
            202: ("Subject", "Retention forbids that yet: it is restricted, and erased when due."),
        },
        problems=("unknown_subject", "last_owner", "keys_unavailable"),
        action="subjects.erase",
    )
)
def erase(ref: str) -> Response:
    """Erase a subject

    The key of its data is destroyed, and with it the data, in every copy. Amounts, totals and the
    audit chain stay as they are. It cannot be undone; asking again gives the certificate again.
    """
    who = may("subjects.erase")
    with suppress(subjects.SubjectErasedError):  # asked again
        _act(who, ref, subjects.erase)
    certificate = _certificate(who, ref)
    return answer(_state(who, ref), 202) if certificate is None else answer(certificate)


@blueprint.route("/<reference:ref>/certificate", methods=["GET"], parameters=[dict(REF)])
@blueprint.doc(
    **openapi.route(
        {200: ("ErasureCertificate", "As of now.")},
        problems=("unknown_subject", "subject_not_erased", "personal_tampered", "keys_unavailable"),
        action="subjects.read",
    )
)
def show_certificate(ref: str) -> Response:
    """Show the certificate of an erasure

    `block` is where audit has sealed the event, null for a moment before it has. `jws` is the same,
    signed; `trident subjects certificate --check` verifies it.
    """
    who = may("subjects.read")
    certificate = _certificate(who, ref)
    if certificate is None:
        raise Problem("subject_not_erased", f"{ref} is not erased: there is nothing to certify.")
    return answer(certificate)


@blueprint.route("/<reference:ref>/export", methods=["POST"], parameters=[dict(REF)])
@blueprint.doc(
    **openapi.route(
        {200: ("SubjectExport", "All that is held, in clear.")},
        problems=("unknown_subject", "subject_erased", "personal_tampered", "keys_unavailable"),
        action="subjects.export",
    )
)
def hand_out(ref: str) -> Response:
    """Export all that is held of a subject

    Its accounts, the operations that name it with their postings, and the events about it; of one
    of the tenant's people what they submitted and decided as well. The answer is streamed and
    stored nowhere.
    """
    who = may("subjects.export")
    pieces = _pieces(who, ref)
    with _found(), keys_at_hand():
        first = next(pieces)
    _tell(who, ref)

    def whole() -> Iterator[bytes]:
        yield first
        yield from pieces

    return Response(stream_with_context(whole()), content_type=JSON)


def _pieces(who: Principal, ref: str) -> Iterator[bytes]:
    with tenant_reading(who.tenant_id, state().engine) as connection:
        yield from export(connection, key_ring(), who.tenant_id, subjects.named(ref))


def _tell(who: Principal, ref: str) -> None:
    event = Event("subject.exported", who.subject, target=subjects.named(ref))
    with telling(who.tenant_id, who.subject, state().engine) as connection:
        recorded = record(connection, who.tenant_id, event)
    state().ring(*recorded)


def _change(ref: str, action: str, act: Act) -> Response:
    who = may(action)
    try:
        _act(who, ref, act)
    except subjects.SubjectErasedError as error:
        raise Problem("subject_erased", str(error)) from None
    return answer(_state(who, ref))


def _act(who: Principal, ref: str, act: Act) -> None:
    """In a transaction of its own; the bell is rung for its event behind the commit."""
    with _found(), telling(who.tenant_id, who.subject, state().engine) as connection:
        subject = subjects.named(ref)
        lets_in = act is subjects.unrestrict
        erasure.guard(connection, who.tenant_id, actor_of(who), subject, lets_in=lets_in)
        recorded = act(connection, who.tenant_id, subject, who.subject)
    committed(recorded, subject)


@contextmanager
def _found() -> Iterator[None]:
    try:
        yield
    except UnknownSubjectError as error:
        raise Problem("unknown_subject", f"{error} No operation has named it.") from None
    except ErasedError as error:
        raise Problem("subject_erased", str(error)) from None


def _state(who: Principal, ref: str) -> dict[str, Any]:
    with _found(), tenant_reading(who.tenant_id, state().engine) as connection:
        return about(subjects.state_of(connection, who.tenant_id, subjects.named(ref)))


def _certificate(who: Principal, ref: str) -> dict[str, Any] | None:
    keys = signing_keys(state().engine)
    with (
        _found(),
        keys_at_hand(),
        tenant_reading(who.tenant_id, state().engine) as connection,
    ):
        subject = subjects.named(ref)
        made = certify(connection, keys, key_ring(), who.tenant_id, subject)
    if made is None:
        return None
    said = {name: made.says[name] for name in ("subject", "erased_at", "erased_by", "event")}
    block = made.says["block"]
    return {"object": "erasure_certificate", **said, "block": block, "jws": made.jws}
