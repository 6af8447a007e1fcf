"""Invitations and password resets: whoever brings one chooses a password."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from api import openapi
from api.answers import answer
from api.auth import may
from api.identity.asking import BODY_PROBLEMS, actor_of, answering, body, committed
from api.identity.people import shown
from api.identity.schemas import (
    AcceptInvitationSchema,
    AcceptPasswordResetSchema,
    NewPasswordResetSchema,
)
from api.identity.sessions import busy
from api.state import state
from models.db import tenant_writing
from models.key_ring import key_ring
from pipeline.identity import own_password, passwords, tickets

blueprint = Blueprint(
    "Invitations and resets",
    __name__,
    url_prefix="/v1",
    description="How people come to a password. Whoever has such a token chooses it, once.",
)

TOKEN = "1.0000000000000000000000000000000000000000000"  # noqa: S105 - an example
CHOSEN = "four words by chance"
BROUGHT = (*BODY_PROBLEMS, "ticket_invalid", "weak_password", "sign_in_busy")


@blueprint.route("/invitations/accept", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who may sign in now.")},
        body=openapi.json_body("AcceptInvitation", {"invitation_token": TOKEN, "password": CHOSEN}),
        problems=BROUGHT,
        open_to_all=True,
    )
)
def accept() -> Response:
    """Accept an invitation"""
    given = body(AcceptInvitationSchema())
    return _use(tickets.read(given["invitation_token"], "invitation"), given)


@blueprint.route("/password-resets", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {201: ("PasswordReset", "What to hand to them.")},
        body=openapi.json_body("NewPasswordReset", {"person": "pe_00000000000000000000"}),
        problems=(*BODY_PROBLEMS, "unknown_person", "owners_only", "beyond_own", "not_active"),
        action="people.write",
    )
)
def offer() -> Response:
    """Let somebody choose a new password

    The token is shown this once and lasts an hour. Who has not accepted their invitation gets a
    new one, which lasts a week. Tokens from before do not count any more. Only owners do this for
    an owner.
    """
    who = may("people.write")
    person_id = body(NewPasswordResetSchema())["person"]
    with tenant_writing(who.tenant_id, state().engine) as connection:
        made = tickets.offer(connection, key_ring(), who.tenant_id, actor_of(who), person_id)
    committed(made.recorded)
    shown_once = {"purpose": made.purpose, "token": made.token}
    return answer({"object": "password_reset", "person": person_id} | shown_once, 201)


@blueprint.route("/password-resets/accept", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who may sign in with it.")},
        body=openapi.json_body("AcceptPasswordReset", {"reset_token": TOKEN, "password": CHOSEN}),
        problems=BROUGHT,
        open_to_all=True,
    )
)
def reset() -> Response:
    """Choose a new password

    All sessions of the person end. A second factor stays.
    """
    given = body(AcceptPasswordResetSchema())
    return _use(tickets.read(given["reset_token"], "reset"), given)


def _use(ticket: tickets.Ticket, given: dict[str, Any]) -> Response:
    with tenant_writing(ticket.tenant_id, state().engine) as connection:
        before = tickets.whose(connection, key_ring(), ticket)
    answering(ticket.tenant_id)
    own_password.check_for(given["password"], before.email, given.get("name") or before.name)
    try:
        with passwords.place():
            hashed = passwords.hashed(given["password"])
    except passwords.BusyError:
        raise busy() from None
    with tenant_writing(ticket.tenant_id, state().engine) as connection:
        person, recorded = tickets.use(connection, key_ring(), ticket, hashed, given.get("name"))
    committed(recorded, person.subject)
    return answer(shown(person))
