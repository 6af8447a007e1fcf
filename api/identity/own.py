"""One's own person: name, password, second factor."""

from flask import Response
from flask_smorest import Blueprint

from api import openapi
from api.answers import answer
from api.auth import may
from api.identity.asking import BODY_PROBLEMS, body, committed, person_of
from api.identity.people import shown
from api.identity.schemas import (
    PASSWORD,
    CodeSchema,
    NewPasswordSchema,
    OwnChangeSchema,
    ProofSchema,
)
from api.state import state
from api.tokens import Principal
from models.db import tenant_writing
from models.key_ring import key_ring
from models.tenant import tenant_state
from pipeline.came_from import telling
from pipeline.identity import lockout, own_password, passwords, people, second_factor, totp
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import found

blueprint = Blueprint(
    "Me",
    __name__,
    url_prefix="/v1/people/me",
    description="What people change of themselves. A token that is of no person is answered 404.",
)

PROOF = {"password": PASSWORD}
PROVED = ("sign_in_refused", "sign_in_busy")


@blueprint.route("", methods=["GET"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who asks.")},
        problems=("unknown_person", *openapi.SEALED),
        action="own.read",
    )
)
def show() -> Response:
    """Show oneself"""
    who = may("own.read")
    person_id = person_of(who)
    with tenant_writing(who.tenant_id, state().engine) as connection:
        return answer(shown(found(connection, key_ring(), who.tenant_id, person_id)))


@blueprint.route("", methods=["PATCH"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who asks, as they are now.")},
        body=openapi.json_body("OwnChange", {"name": "Ada King"}),
        problems=(*BODY_PROBLEMS, *openapi.SEALED, "unknown_person"),
        action="own.write",
    )
)
def rename() -> Response:
    """Change one's own name"""
    who = may("own.write")
    person_id = person_of(who)
    name = body(OwnChangeSchema())["name"]
    with tenant_writing(who.tenant_id, state().engine) as connection:
        return answer(shown(people.rename(connection, key_ring(), who.tenant_id, person_id, name)))


@blueprint.route("/password", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who asks.")},
        body=openapi.json_body("NewPassword", PROOF | {"new_password": PASSWORD}),
        problems=(*BODY_PROBLEMS, *openapi.SEALED, *PROVED, "unknown_person", "weak_password"),
        action="own.write",
    )
)
def change_password() -> Response:
    """Change one's own password

    All other sessions end.
    """
    who = may("own.write")
    person_id = person_of(who)
    given = body(NewPasswordSchema())
    engine, tenant_id = state().engine, who.tenant_id
    with tenant_writing(tenant_id, engine) as connection:
        person = found(connection, key_ring(), tenant_id, person_id)
        tenant = tenant_state(connection, tenant_id)
    with passwords.place():
        # Before anything is judged, which is work: for who has proved who they are.
        kept = own_password.prove(engine, tenant_id, person_id, given["password"])
        own_password.check_for(given["new_password"], person.email, person.name, tenant)
        anew = passwords.hashed(given["new_password"])
    with telling(tenant_id, who.subject, engine) as connection:
        recorded = own_password.change(connection, tenant_id, person_id, kept, anew, who.session)
    committed(recorded, who.subject)
    return answer(shown(person))


@blueprint.route("/totp", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {201: ("SecondFactor", "What the device is told.")},
        body=openapi.json_body("Proof", PROOF),
        problems=(*BODY_PROBLEMS, *openapi.SEALED, *PROVED, "unknown_person", "second_factor_on"),
        action="own.write",
    )
)
def offer_second_factor() -> Response:
    """Begin with a second factor

    It is asked for once a code of the device was confirmed.
    """
    who = may("own.write")
    person_id = person_of(who)
    _prove(who, body(ProofSchema())["password"])
    with tenant_writing(who.tenant_id, state().engine) as connection:
        secret = second_factor.offer(connection, key_ring(), who.tenant_id, person_id)
        person = found(connection, key_ring(), who.tenant_id, person_id)
        tenant = tenant_state(connection, who.tenant_id)
    assert tenant is not None
    uri = totp.address(secret, tenant.name, person.email or person_id)
    made = {"object": "second_factor", "secret": totp.shown(secret), "uri": uri}
    return answer(made, 201)


@blueprint.route("/totp/confirm", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {200: ("RecoveryCodes", "Codes in place of the device.")},
        body=openapi.json_body("Code", {"code": "123456"}),
        problems=(
            *BODY_PROBLEMS,
            *openapi.SEALED,
            "unknown_person",
            "second_factor_off",
            "code_wrong",
        ),
        action="own.write",
    )
)
def confirm_second_factor() -> Response:
    """Confirm the second factor

    From now on signing in takes a code. The recovery codes are shown this once. Wrong codes count
    as wrong passwords do.
    """
    who = may("own.write")
    person_id = person_of(who)
    code = body(CodeSchema())["code"]
    with tenant_writing(who.tenant_id, state().engine) as connection:
        found(connection, key_ring(), who.tenant_id, person_id)
        if lockout.try_person(connection, who.tenant_id, person_id) is None:
            raise IdentityError("code_wrong", "Too many were; wait a while before the next one.")
    with tenant_writing(who.tenant_id, state().engine) as connection:
        codes, recorded = second_factor.confirm(
            connection, key_ring(), who.tenant_id, person_id, code
        )
    committed(recorded)
    return answer({"object": "recovery_codes", "codes": codes})


@blueprint.route("/totp", methods=["DELETE"])
@blueprint.doc(
    **openapi.route(
        {200: ("Person", "Who asks, as they are now.")},
        body=openapi.json_body("Proof", PROOF),
        problems=(*BODY_PROBLEMS, *openapi.SEALED, *PROVED, "unknown_person", "second_factor_off"),
        action="own.write",
    )
)
def stop_second_factor() -> Response:
    """Take away one's second factor"""
    who = may("own.write")
    person_id = person_of(who)
    _prove(who, body(ProofSchema())["password"])
    with tenant_writing(who.tenant_id, state().engine) as connection:
        person = found(connection, key_ring(), who.tenant_id, person_id, lock=True)
        recorded = second_factor.stop(connection, who.tenant_id, who.subject, person)
    committed(recorded)
    return answer(shown(person._replace(second_factor=False)))


def _prove(who: Principal, password: str) -> str:
    with passwords.place():
        return own_password.prove(state().engine, who.tenant_id, person_of(who), password)
