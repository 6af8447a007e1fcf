"""The shape of `personal`: data about one subject, which the edge seals before it is stored."""

import re
from typing import Any

import orjson
from marshmallow import ValidationError

from pipeline.strict_json import canonical

PERSONAL = "personal"
# A name, an address, a few references: the log keeps them for ever, if sealed.
PERSONAL_MAX_BYTES = 4 * 1024
SUBJECT_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]{0,127}")
# Of the users of Trident itself, who are subjects by other means.
SUBJECT_RESERVED = "person:"
# What Trident shows instead of data that it does not show: sent back, it would replace the data.
PERSONAL_RESERVED = ("key", "sealed", "erased_at")


API = {
    "type": "object",
    "required": ["subject"],
    "properties": {
        "subject": {"type": "string", "pattern": f"^{SUBJECT_PATTERN.pattern}$"},
    },
    "additionalProperties": True,
    "description": "Data about a person: everything in it but `subject` is sealed before it is"
    f" stored. Up to {PERSONAL_MAX_BYTES} bytes.",
}


def check_subject(value: Any) -> str:
    """The tenant's own name for whom data is about: `customer-42`."""
    if (
        not isinstance(value, str)
        or not SUBJECT_PATTERN.fullmatch(value)
        or value.startswith(SUBJECT_RESERVED)
    ):
        raise ValidationError(
            {
                "subject": [
                    "`subject` is your own reference for whom the data is about, such as"
                    " customer-42: 1 to 128 letters, digits and _ . : @ / -, the first a letter, a"
                    f" digit or _, and not beginning with {SUBJECT_RESERVED} It is not sealed: a"
                    " name or an e-mail address does not belong into it."
                ]
            }
        )
    return value


def check_personal(value: Any) -> dict[str, Any]:
    """An object about one subject; all but `subject` gets sealed."""
    if not isinstance(value, dict):
        raise ValidationError('Personal data is an object such as {"subject": "customer-42", …}.')
    check_subject(value.get("subject"))
    reserved = [name for name in PERSONAL_RESERVED if name in value]
    if reserved:
        raise ValidationError(
            {
                reserved[0]: [
                    "This member is how Trident shows data that it does not show. Send the data"
                    " itself."
                ]
            }
        )
    try:
        size = len(canonical(value))
    except orjson.JSONEncodeError:
        raise ValidationError("An integer in it is too large.") from None
    if size > PERSONAL_MAX_BYTES:
        raise ValidationError(f"Personal data has up to {PERSONAL_MAX_BYTES} bytes as JSON.")
    return value
