"""What is refused to people: a code, and a message that says what to do.

IdentityError ── the codes of CODES, which are problems of the API too (api/errors.py)
OutError ─────── who asks was let in, and counts no more
"""

CODES = {
    "sign_in_refused": "These do not sign anybody in.",
    "session_ended": "The session has ended.",
    "refresh_raced": "Another request has just refreshed this session.",
    "ticket_invalid": "This invitation or reset does not count.",
    "weak_password": "The password is not good enough.",
    "code_wrong": "This is no code of the second factor just now.",
    "person_exists": "Somebody has this e-mail address already.",
    "unknown_person": "There is no such person.",
    "unknown_session": "There is no such session.",
    "owners_only": "Only an owner may do this.",
    "beyond_own": "Nobody gives others more than they may do themselves.",
    "own_roles": "Nobody gives roles to themselves.",
    "own_person": "This is for what one does for others.",
    "last_owner": "A tenant keeps an owner.",
    "not_active": "The person is not active.",
    "second_factor_on": "There is a second factor already.",
    "second_factor_off": "There is no second factor.",
    "mails_spent": "The tenant has had its mails of the day sent.",
    "mail_not_set": "This installation sends no mail.",
    "sign_in_busy": "Too many passwords are being looked at.",
}


class IdentityError(Exception):
    """It is refused for the reason of this code; the message says more."""

    def __init__(self, code: str, message: str, retry_after_s: int | None = None) -> None:
        assert code in CODES, f"{code} is none of the codes"
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


class OutError(Exception):
    """Whoever asks was disabled, or lost a role, since the request was let in."""
