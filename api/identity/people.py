"""People of the tenant, as its admins see and change them."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE

from api import openapi
from api.answers import answer
from api.auth import may
from api.identity.asking import BODY_PROBLEMS, actor_of, body, committed, handed, may_now
from api.identity.schemas import NEW_PERSON, PERSON_CHANGE, NewPersonSchema, PersonChangeSchema
from api.paging import cursor, page, text_after
from api.parameters import PageQuery
from api.state import state
from models.db import tenant_writing
from models.key_ring import key_ring
from pipeline.came_from import telling
from pipeline.identity import changes, people, second_factor, tickets
from pipeline.identity.acting import check
from pipeline.identity.api_keys import held_by
from pipeline.identity.people import Person, found, guard_other, guard_owner, guard_powers

blueprint = Blueprint(
    "People",
    __name__,
    url_prefix="/v1/people",
    description="Who may sign in, and what each may do.",
)

NOT_GIVEN = ("owners_only", "beyond_own", "own_roles")
PERSON_ID = {
    "in": "path",
    "name": "person_id",
    "description": "The person's id.",
    "example": "pe_00000000000000000000",
}


@blueprint.route("", methods=["GET"])
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("PersonList", "One page, by their ids.")},
        problems=("invalid_cursor", "invalid_request", *openapi.SEALED),
        action="people.read",
    )
)
def show_many(query: dict[str, Any]) -> Response:
    """List people"""
    who = may("people.read")
    after, limit = text_after("people", query.get("after")), query["limit"]
    with tenant_writing(who.tenant_id, state().engine) as connection:
        listed = people.page(connection, key_ring(), who.tenant_id, after, limit + 1)
    following = cursor("people", listed[limit - 1].person_id) if len(listed) > limit else None
    return answer(page([shown(one) for one in listed[:limit]], following))


@blueprint.route("", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {201: ("Invited", "Who was invited, and how the token comes to them.")},
        body=openapi.json_body("NewPerson", NEW_PERSON),
        problems=(
            *BODY_PROBLEMS,
            *openapi.SEALED,
            "person_exists",
            "owners_only",
            "beyond_own",
            "mails_spent",
        ),
        action="people.write",
    )
)
def invite() -> Response:
    """Invite somebody

    Who has the invitation's token chooses the password, within a week. It goes to the e-mail
    address, if the installation sends mail; otherwise it is `invitation_token`, shown this once.
    """
    who = may_now("people.write")
    given = body(NewPersonSchema())
    with telling(who.tenant_id, who.subject, state().engine) as connection:
        actor, ring = actor_of(who), key_ring()
        person = people.invite(connection, ring, who.tenant_id, actor, **given)
        made = tickets.offer(connection, ring, who.tenant_id, actor, person.person_id)
    return answer(shown(person) | handed(made, "invitation_token"), 201)


@blueprint.route("/<person_id>", methods=["GET"], parameters=[PERSON_ID])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "It.")}, problems=("unknown_person", *openapi.SEALED), action="people.read"
    )
)
def show(person_id: str) -> Response:
    """Show a person"""
    who = may("people.read")
    with tenant_writing(who.tenant_id, state().engine) as connection:
        return answer(shown(found(connection, key_ring(), who.tenant_id, person_id)))


@blueprint.route("/<person_id>", methods=["PATCH"], parameters=[PERSON_ID])
@blueprint.doc(
    **openapi.route(
        {200: ("ChangedPerson", "It as it is now.")},
        body=openapi.json_body("PersonChange", PERSON_CHANGE),
        problems=(*BODY_PROBLEMS, *openapi.SEALED, "unknown_person", *NOT_GIVEN, "last_owner"),
        action="people.write",
    )
)
def change(person_id: str) -> Response:
    """Change what a person may do

    Their access tokens are refused at once, everywhere within two seconds, and a refresh gives one
    with the new roles. Disabling ends their sessions, invitations and resets.
    So it is with the API keys whose secret they were last shown: these may do no more than they may
    themselves, and nothing if they are disabled, until somebody else rotates them.
    """
    may("people.write")
    given = body(PersonChangeSchema())
    active = given["status"] == "active" if "status" in given else None
    return _changed(person_id, given.get("roles"), active)


@blueprint.route("/<person_id>", methods=["DELETE"], parameters=[PERSON_ID])
@blueprint.doc(
    **openapi.route(
        {200: ("ChangedPerson", "It as it is now.")},
        problems=("unknown_person", *openapi.SEALED, "owners_only", "last_owner"),
        action="people.write",
    )
)
def disable(person_id: str) -> Response:
    """Disable a person

    All their sessions end, and their API keys count no more until somebody else rotates them. What
    they did stays, and so do they: PATCH enables them again.
    """
    return _changed(person_id, None, active=False)


@blueprint.route("/<person_id>/totp", methods=["DELETE"], parameters=[PERSON_ID])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "It as it is now.")},
        problems=(
            "unknown_person",
            *openapi.SEALED,
            "own_person",
            "owners_only",
            "beyond_own",
            "second_factor_off",
        ),
        action="people.write",
    )
)
def stop_second_factor(person_id: str) -> Response:
    """Take away a person's second factor

    For whoever lost the device and the recovery codes. For oneself it takes the present password,
    below /v1/people/me.
    """
    who = may_now("people.write")
    with telling(who.tenant_id, who.subject, state().engine) as connection:
        person = found(connection, key_ring(), who.tenant_id, person_id, lock=True)
        check(connection, who.tenant_id, actor_of(who))
        guard_other(actor_of(who), person)
        guard_owner(actor_of(who), person)
        guard_powers(actor_of(who), person.roles)
        recorded = second_factor.stop(connection, who.tenant_id, who.subject, person)
    committed(recorded)
    return answer(shown(person._replace(second_factor=False)))


def shown(person: Person) -> dict[str, Any]:
    """As clients see it."""
    return {
        "object": "person",
        "id": person.person_id,
        "email": person.email,
        "name": person.name,
        "roles": list(person.roles),
        "status": person.status,
        "restricted": person.restricted,
        "second_factor": person.second_factor,
        "created_at": person.created_at,
    }


def _changed(person_id: str, roles: list[str] | None, active: bool | None) -> Response:
    who = may_now("people.write")
    with telling(who.tenant_id, who.subject, state().engine) as connection:
        person, recorded = changes.change(
            connection, key_ring(), who.tenant_id, actor_of(who), person_id, roles, active
        )
        keys = held_by(connection, who.tenant_id, person.subject)
    committed(recorded, person.subject)
    return answer(shown(person) | {"api_keys": keys})
