"""The shapes of people and sessions: what requests bring, and what they are answered with."""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from api.schema_fields import choice, flag, integer, says, text, time
from pipeline.identity.emails import disguised
from pipeline.identity.passwords import MAX_CHARACTERS
from pipeline.permissions import ROLES

EMAIL_MAX_LENGTH = 254  # RFC 5321 section 4.5.3.1.3
NAME_MAX_LENGTH = 200
WORD_MAX_LENGTH = 2_048
# Of the OpenAPI document. Whoever takes the password from there is refused (guessing.py).
PASSWORD = "a password of your own"  # noqa: S105 - an example
NEW_PERSON = {"email": "grace@example.com", "roles": ["operator"], "name": "Grace Hopper"}
PERSON_CHANGE = {"roles": ["auditor"]}
STATUSES = ("invited", "active", "disabled", "erased")


def _word(description: str, most: int = WORD_MAX_LENGTH, **more: Any) -> fields.String:
    return fields.String(
        required=True, validate=validate.Length(1, most), metadata=says(description, **more)
    )


def _password(description: str) -> fields.String:
    # Longer ones are refused as weak; here it is only that nobody sends a book.
    return _word(description, MAX_CHARACTERS * 4, format="password")


def _check_seen(email: str) -> None:
    if (why := disguised(email)) is not None:
        raise ValidationError(why)


def _email() -> fields.String:
    return fields.String(
        required=True,
        validate=[validate.Email(), validate.Length(1, EMAIL_MAX_LENGTH), _check_seen],
        metadata=says("Their e-mail address.", example="ada@example.com"),
    )


def _check_name(name: str) -> None:
    if not name.isprintable() or not name.strip():
        raise ValidationError("A name is of printable characters.")


def _name(*, required: bool) -> fields.String:
    return fields.String(
        required=required,
        validate=[validate.Length(1, NAME_MAX_LENGTH), _check_name],
        metadata=says("How they are called.", example="Ada Lovelace"),
    )


def _roles(*, required: bool) -> fields.List:
    return fields.List(
        fields.String(validate=validate.OneOf(tuple(ROLES))),
        required=required,
        validate=validate.Length(0, len(ROLES)),
        metadata=says("What they may do; docs/permissions.md.", example=["operator"]),
    )


class _Body(Schema):
    class Meta:
        unknown = RAISE


class SignInSchema(_Body):
    """Who signs in."""

    tenant = _word("The tenant's name.", 63, example="default")
    email = _word("The e-mail address.", EMAIL_MAX_LENGTH, example="ada@example.com")
    password = _password("The password.")
    code = fields.String(
        validate=validate.Length(1, 32),
        metadata=says("Of the second factor, for whoever has one; or a recovery code."),
    )


class RefreshSchema(_Body):
    """What a session goes on with."""

    refresh_token = _word("The newest one of the session.")


class NewPersonSchema(_Body):
    """Somebody to invite."""

    email = _email()
    roles = _roles(required=True)
    name = _name(required=False)


class PersonChangeSchema(_Body):
    """What somebody may do from now on."""

    roles = _roles(required=False)
    status = fields.String(
        validate=validate.OneOf(("active", "disabled")), metadata=says("Whether they may sign in.")
    )


class OwnChangeSchema(_Body):
    """What people change of themselves."""

    name = _name(required=True)


class NewPasswordSchema(_Body):
    """A password in place of another."""

    password = _password("The present one.")
    new_password = _password("The new one.")


class ProofSchema(_Body):
    """The present password, again."""

    password = _password("The present one.")


class CodeSchema(_Body):
    """A code of the second factor."""

    code = _word("What the device shows just now.", 32, example="123456")


class AcceptInvitationSchema(_Body):
    """An invitation, and the password that its holder chooses."""

    invitation_token = _word("As it was given.")
    password = _password("The one that is chosen.")
    name = _name(required=False)


class AskResetSchema(_Body):
    """Whose password is forgotten."""

    tenant = _word("The tenant's name.", 63, example="default")
    email = _word("The e-mail address.", EMAIL_MAX_LENGTH, example="ada@example.com")


class AcceptPasswordResetSchema(_Body):
    """A reset, and the new password."""

    reset_token = _word("As it was given.")
    password = _password("The new one.")


class PersonSchema(Schema):
    """Somebody of the tenant. E-mail address and name are null once they are erased."""

    object = text("`person`")
    id = text("Their own.", example="pe_00000000000000000000")
    email = text("Their e-mail address.", nullable=True)
    name = text("How they are called.", nullable=True)
    roles = fields.List(fields.String(), required=True, metadata=says("What they may do."))
    status = choice(STATUSES, "Whether they may sign in.")
    restricted = flag("Their data is kept and not used: they may not sign in, whatever `status`.")
    second_factor = flag("A code is asked for when they sign in.")
    created_at = time("When they were invited.")


class ChangedPersonSchema(PersonSchema):
    """Somebody who may do something else now."""

    api_keys = fields.List(
        fields.String(),
        required=True,
        metadata=says("Ids of the API keys whose secret they have seen, and which may count yet."),
    )


def _delivery() -> fields.String:
    return choice(
        ("mail", "shown"), "How the token comes to them: by mail alone, or shown here this once."
    )


def _token() -> fields.String:
    return fields.String(
        metadata=says("Unless it goes by mail. Hand it to them: who has it chooses the password.")
    )


class InvitedSchema(PersonSchema):
    """Somebody who was just invited."""

    delivery = _delivery()
    invitation_token = _token()


class PasswordResetSchema(Schema):
    """A way to choose a new password, or a first one."""

    object = text("`password_reset`")
    person = text("Whose.")
    purpose = choice(("invitation", "reset"), "An invitation for who has no password yet.")
    delivery = _delivery()
    token = _token()


class ResetAskedSchema(Schema):
    """What everybody is answered who forgot a password."""

    object = text("`reset_asked`")
    delivery = choice(("mail",), "How it comes, if there is such a person.")


class TokensSchema(Schema):
    """What signing in, and each refresh, gives."""

    object = text("`tokens`")
    session = text("The session's id.", example="se_00000000000000000000")
    access_token = text("For `Authorization: Bearer`.")
    token_type = text("`Bearer`")
    expires_in = integer("Seconds that the access token lasts.")
    refresh_token = text("For the next tokens, once.")
    refresh_expires_at = time("When the session ends if it is not refreshed.")


class SessionSchema(Schema):
    """A session that lives."""

    object = text("`session`")
    id = text("Its own.", example="se_00000000000000000000")
    person = text("Whose it is.")
    created_at = time("When they signed in.")
    used_at = time("When it was refreshed.")
    expires_at = time("When it ends if it is not refreshed.")
    address = text("From where they signed in.", nullable=True)
    agent = text("With what program, as it said itself.", nullable=True)
    current = flag("It is the one that asks.")


class SessionsSchema(Schema):
    """Somebody's sessions, newest first."""

    object = text("`list`")
    data = fields.List(fields.Nested(SessionSchema), required=True)


class SecondFactorSchema(Schema):
    """What a device is told, once: it counts when a code of it was confirmed."""

    object = text("`second_factor`")
    secret = text("To be typed.")
    uri = text("To be shown as a QR code.")


class RecoveryCodesSchema(Schema):
    """Codes in place of the device, each for once; shown this once."""

    object = text("`recovery_codes`")
    codes = fields.List(fields.String(), required=True, metadata=says("To be kept on paper."))


class EndedSchema(Schema):
    """It is over."""

    object = text("`ended`")
    id = text("What was ended.")


BODIES = (
    SignInSchema,
    RefreshSchema,
    NewPersonSchema,
    PersonChangeSchema,
    OwnChangeSchema,
    NewPasswordSchema,
    ProofSchema,
    CodeSchema,
    AcceptInvitationSchema,
    AskResetSchema,
    AcceptPasswordResetSchema,
)
ANSWERS = (
    PersonSchema,
    ChangedPersonSchema,
    InvitedSchema,
    PasswordResetSchema,
    ResetAskedSchema,
    TokensSchema,
    SessionSchema,
    SessionsSchema,
    SecondFactorSchema,
    RecoveryCodesSchema,
    EndedSchema,
)
