"""Invitations and password resets: whoever brings one chooses a password."""

import time
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from api import openapi
from api.answers import answer
from api.identity.asking import (
    BODY_PROBLEMS,
    LET_IN,
    actor_of,
    answering,
    body,
    committed,
    handed,
    may_now,
)
from api.identity.people import PERSON_ID, shown
from api.identity.schemas import (
    PASSWORD,
    AcceptInvitationSchema,
    AcceptPasswordResetSchema,
    AskResetSchema,
)
from api.identity.sessions import REFUSED_AFTER_S
from api.state import state
from models.db import tenant_writing
from models.key_ring import key_ring
from models.settings import settings
from models.tenant import tenant_state
from pipeline.came_from import telling
from pipeline.identity import forgotten, own_password, passwords, tickets
from pipeline.identity.errors import IdentityError
from tasks.mail import mail_ringer

blueprint = Blueprint(
    "Invitations and resets",
    __name__,
    url_prefix="/v1",
    description="How people come to a password. Whoever has such a token chooses it, once.",
)

TOKEN = "1.0000000000000000000000000000000000000000000"  # noqa: S105 - an example
BROUGHT = (*BODY_PROBLEMS, *LET_IN, "ticket_invalid", "weak_password", "sign_in_busy")


@blueprint.route("/invitations/accept", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who may sign in now.")},
        body=openapi.json_body(
            "AcceptInvitation", {"invitation_token": TOKEN, "password": PASSWORD}
        ),
        problems=BROUGHT,
        open_to_all=True,
    )
)
def accept() -> Response:
    """Accept an invitation"""
    given = body(AcceptInvitationSchema())
    return _use(tickets.read(given["invitation_token"], "invitation"), given)


@blueprint.route("/people/<person_id>/password-reset", methods=["POST"], parameters=[PERSON_ID])
@blueprint.doc(
    **openapi.route(
        {201: ("PasswordReset", "How the token comes to them.")},
        problems=(
            "unknown_person",
            "own_person",
            "owners_only",
            "beyond_own",
            "not_active",
            "mails_spent",
            *openapi.SEALED,
        ),
        action="people.write",
    )
)
def offer(person_id: str) -> Response:
    """Let somebody choose a new password

    The token lasts an hour, and comes to them as an invitation does. Who has not accepted their
    invitation gets a new one, which lasts a week. Tokens from before do not count any more. Only
    owners do this for an owner.
    """
    who = may_now("people.write")
    with telling(who.tenant_id, who.subject, state().engine) as connection:
        made = tickets.offer(connection, key_ring(), who.tenant_id, actor_of(who), person_id)
    offered = {"object": "password_reset", "person": person_id, "purpose": made.purpose}
    return answer(offered | handed(made, "token"), 201)


@blueprint.route("/password-resets", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {202: ("ResetAsked", "If there is such a person, mail is on its way to them.")},
        body=openapi.json_body("AskReset", {"tenant": "default", "email": "ada@example.com"}),
        problems=(*BODY_PROBLEMS, *LET_IN, "mail_not_set", "sign_in_busy"),
        open_to_all=True,
    )
)
def ask() -> Response:
    """Forget one's password

    The answer is the same, and takes as long, whether or not the tenant has an active person of
    this e-mail address. To each at most three mails an hour are sent.
    """
    began = time.monotonic()
    given = body(AskResetSchema())
    if settings().mail is None:
        raise IdentityError("mail_not_set", "Ask an admin of the tenant for a reset.")
    with passwords.place():
        recorded = forgotten.ask(state().engine, key_ring(), given["tenant"], given["email"])
        time.sleep(max(0.0, began + REFUSED_AFTER_S - time.monotonic()))
    committed(recorded)
    if recorded is not None:
        mail_ringer().add(*recorded)
    return answer({"object": "reset_asked", "delivery": "mail"}, 202)


@blueprint.route("/password-resets/accept", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who may sign in with it.")},
        body=openapi.json_body("AcceptPasswordReset", {"reset_token": TOKEN, "password": PASSWORD}),
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
        tenant = tenant_state(connection, ticket.tenant_id)
    answering(ticket.tenant_id)
    name = given.get("name") or before.name
    with passwords.place():
        own_password.check_for(given["password"], before.email, name, tenant)
        hashed = passwords.hashed(given["password"])
    with tenant_writing(ticket.tenant_id, state().engine) as connection:
        person, recorded = tickets.use(connection, key_ring(), ticket, hashed, given.get("name"))
    committed(recorded, person.subject)
    return answer(shown(person))
