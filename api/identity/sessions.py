"""Sessions: sign in, go on, sign out."""

import time
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields

from api import openapi
from api.answers import answer
from api.auth import demand, may
from api.errors import Problem
from api.gateway.proxies import counted_as
from api.identity.asking import (
    AWAY,
    BODY_PROBLEMS,
    LET_IN,
    address,
    agent,
    answering,
    body,
    committed,
    person_of,
)
from api.identity.schemas import PASSWORD, RefreshSchema, SignInSchema
from api.parameters import says
from api.state import state
from models.db import tenant_writing
from models.key_ring import key_ring
from models.signing_key import signing_keys
from pipeline.came_from import telling
from pipeline.identity import passwords, sessions
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import found, subject_of
from pipeline.identity.session_tokens import (
    ACCESS_LIVES,
    access_token,
    read_refresh,
    refresh_token,
)
from pipeline.identity.sessions import Granted, Reused, Session
from pipeline.identity.sign_in import Asked, sign_in
from pipeline.permissions import allowed

# No refusal comes sooner after its request: how much of the work was done before it cannot be told
# from its time. A hash takes 0.1 to 0.25 s.
REFUSED_AFTER_S = 0.5

blueprint = Blueprint(
    "Sessions",
    __name__,
    url_prefix="/v1/sessions",
    description="Signing in gives an access token for a quarter of an hour and a refresh token for"
    " the next ones.",
)

SESSION_ID = {
    "in": "path",
    "name": "session_id",
    "description": "The session's id.",
    "example": "se_00000000000000000000",
}
SIGN_IN = {"tenant": "default", "email": "ada@example.com", "password": PASSWORD}


class SessionsQuery(Schema):
    """Whose."""

    person = fields.String(
        metadata=says("Somebody else's (takes `sessions.read`); without it one's own.")
    )

    class Meta:
        unknown = RAISE


@blueprint.route("", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {201: ("Tokens", "The session's first tokens.")},
        body=openapi.json_body("SignIn", SIGN_IN),
        problems=(*BODY_PROBLEMS, *LET_IN, "sign_in_refused", "sign_in_busy"),
        open_to_all=True,
    )
)
def begin() -> Response:
    """Sign in

    Whatever is wrong, `sign_in_refused` is the answer: the tenant, the e-mail address, the
    password, the code, or that the person is disabled. After five failures each try takes a delay
    that grows to a quarter of an hour, in which the right password is refused as well.
    """
    began = time.monotonic()
    given = body(SignInSchema())
    asked = Asked(
        given["tenant"],
        given["email"],
        given["password"],
        given.get("code"),
        address(),
        agent(),
        counted_as(address()),
    )
    with passwords.place():
        made = sign_in(state().engine, key_ring(), asked)
        if made.granted is None:
            time.sleep(max(0.0, began + REFUSED_AFTER_S - time.monotonic()))
    committed(made.recorded)
    if made.granted is None:
        raise IdentityError(
            "sign_in_refused",
            "Check the tenant, the e-mail address and the password, and send the code of your"
            " second factor as `code` if you have one. After several failures wait a while.",
        )
    answering(made.granted.tenant_id)
    return answer(_tokens(made.granted), 201)


@blueprint.route("/refresh", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {200: ("Tokens", "The session's next tokens.")},
        body=openapi.json_body("Refresh", {"refresh_token": "eyJhbGciOiJFZERTQSJ9..."}),
        problems=(*BODY_PROBLEMS, *AWAY, "session_ended", "refresh_raced"),
        open_to_all=True,
    )
)
def refresh() -> Response:
    """Go on with a session

    Each refresh token works once. Of requests at the same moment, within ten seconds and before the
    new one is used, one wins and the others are answered `refresh_raced`: they end nothing. A used
    one that is brought later ends the session: it was stolen.
    """
    brought = read_refresh(body(RefreshSchema())["refresh_token"], signing_keys(state().engine))
    with tenant_writing(brought.tenant_id, state().engine) as connection:
        made = sessions.refresh(
            connection, brought.tenant_id, brought.session_id, brought.generation
        )
    if isinstance(made, Reused):
        committed(made.recorded, subject_of(made.person_id))
        raise IdentityError(
            "session_ended",
            "This refresh token had been used before, so the session was ended. Sign in again.",
        )
    answering(brought.tenant_id)
    return answer(_tokens(made))


@blueprint.route("", methods=["GET"])
@blueprint.arguments(SessionsQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("Sessions", "Up to 100, newest first.")},
        problems=("unknown_person", "invalid_request", *openapi.SEALED),
        action="own.read",
    )
)
def show_many(query: dict[str, Any]) -> Response:
    """List sessions

    One's own, or with `person` those of somebody else.
    """
    who = may("own.read")
    if "person" in query:
        demand(who, "sessions.read")
    with tenant_writing(who.tenant_id, state().engine) as connection:
        person_id = query["person"] if "person" in query else person_of(who)
        found(connection, key_ring(), who.tenant_id, person_id)
        living = sessions.living(connection, key_ring(), who.tenant_id, person_id)
    shown = [_shown(one, person_id, who.session) for one in living]
    return answer({"object": "list", "data": shown})


@blueprint.route("/current", methods=["DELETE"])
@blueprint.doc(
    **openapi.route(
        {200: ("Ended", "It has ended.")}, problems=("unknown_session",), action="own.write"
    )
)
def end_current() -> Response:
    """Sign out

    The session's tokens are refused at once, everywhere within two seconds.
    """
    who = may("own.write")
    if who.session is None:
        raise Problem("unknown_session", "The token is of no session.")
    return _end(who.tenant_id, who.subject, who.session, "signed_out")


@blueprint.route("/<session_id>", methods=["DELETE"], parameters=[SESSION_ID])
@blueprint.doc(
    **openapi.route(
        {200: ("Ended", "It has ended.")}, problems=("unknown_session",), action="own.write"
    )
)
def end(session_id: str) -> Response:
    """End a session

    One's own, or with `sessions.revoke` anybody's of the tenant.
    """
    who = may("own.write")
    with tenant_writing(who.tenant_id, state().engine) as connection:
        person_id = sessions.owner_of(connection, who.tenant_id, session_id)
    mine = person_id is not None and subject_of(person_id) == who.subject
    if not mine and not allowed(who.roles, "sessions.revoke", who.scopes):
        raise _unknown()
    return _end(who.tenant_id, who.subject, session_id, "revoked")


def _end(tenant_id: int, actor: str, session_id: str, why: str) -> Response:
    with telling(tenant_id, actor, state().engine) as connection:
        person_id = sessions.owner_of(connection, tenant_id, session_id)
        if person_id is None:
            raise _unknown()
        recorded = sessions.revoke(connection, tenant_id, actor, session_id, why)
    if recorded is None:
        raise _unknown()
    committed(recorded, subject_of(person_id))
    return answer({"object": "ended", "id": session_id})


def _unknown() -> Problem:
    return Problem("unknown_session", "There is no session of this id that lives.")


def _tokens(granted: Granted) -> dict[str, Any]:
    keys, ring = signing_keys(state().engine), key_ring()
    return {
        "object": "tokens",
        "session": granted.session_id,
        "access_token": access_token(granted, keys, ring),
        "token_type": "Bearer",
        "expires_in": int(ACCESS_LIVES.total_seconds()),
        "refresh_token": refresh_token(granted, keys, ring),
        "refresh_expires_at": granted.expires_at,
    }


def _shown(session: Session, person_id: str, current: str | None) -> dict[str, Any]:
    return {
        "object": "session",
        "id": session.session_id,
        "person": person_id,
        "created_at": session.created_at,
        "used_at": session.used_at,
        "expires_at": session.expires_at,
        "address": session.address,
        "agent": session.agent,
        "current": session.session_id == current,
    }
