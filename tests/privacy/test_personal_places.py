"""Where sealed data opens: at its own place alone."""

from typing import Any

import pytest

from models.sealed import TamperedError, new_key
from pipeline.privacy.data_keys import DataKey
from pipeline.privacy.personal import Origin, masked, name_of, opened, places, sealed

HERE = Origin(1, 7, "order-1")
ADA, BOB = DataKey(new_key(), 1), DataKey(new_key(), 1)
KEYS = {"subject:ada": ADA, "subject:bob": BOB}


def about(ref: str) -> dict[str, Any]:
    """Data of somebody."""
    return {"subject": ref, "name": f"the name of {ref}", "numbers": [1, {"two": True}]}


def group(*refs: str) -> dict[str, Any]:
    """A group whose members name these, in their order."""
    members = [{"kind": "transfer", "amount": 1, "personal": about(ref)} for ref in refs]
    return {"operations": members}


def test_each_place_opens_with_its_subjects_key() -> None:
    """Alone, in a group, in a schedule and in a schedule's group; nothing else is touched."""
    bodies = {
        "transfer": {"amount": 1, "personal": about("ada")},
        "group": {**group("ada", "bob"), "personal": about("bob")},
        "schedule": {"operation": {"kind": "group", **group("bob", "ada")}},
    }
    for kind, body in bodies.items():
        stored = sealed(HERE, kind, body, KEYS)
        assert "the name of" not in str(stored)
        for place in places(kind, stored):
            place.body["personal"] = opened(HERE, place, KEYS[name_of(place)])
        assert stored == body


def test_equal_content_is_sealed_alike_and_elsewhere_otherwise() -> None:
    """A repetition is known; two operations with the same data show nobody that they have."""
    body = {"personal": about("ada")}
    once = sealed(HERE, "transfer", body, KEYS)
    assert sealed(HERE, "transfer", body, KEYS) == once
    elsewhere = (Origin(2, 7, "order-1"), Origin(1, 8, "order-1"), Origin(1, 7, "order-2"))
    for other in elsewhere:
        assert sealed(other, "transfer", body, KEYS) != once


@pytest.mark.parametrize(
    "other", [Origin(2, 7, "order-1"), Origin(1, 8, "order-1"), Origin(1, 7, "order-2")]
)
def test_what_was_moved_does_not_open(other: Origin) -> None:
    """In another tenant, another ledger, under another idempotency key."""
    (place,) = places("transfer", sealed(HERE, "transfer", {"personal": about("ada")}, KEYS))
    with pytest.raises(TamperedError):
        opened(other, place, ADA)


def test_what_changes_places_within_an_operation_does_not_open() -> None:
    """Two members of a group, of the same subject, swapped; or under another subject's name."""
    first, second = places("group", sealed(HERE, "group", group("ada", "ada"), KEYS))
    swapped = first._replace(body=second.body)
    with pytest.raises(TamperedError):
        opened(HERE, swapped, ADA)
    with pytest.raises(TamperedError):
        opened(HERE, first, BOB)


@pytest.mark.parametrize(
    "changed", [{"key": 2}, {"sealed": ""}, {"sealed": "é"}, {"sealed": "AAAA"}, {"sealed": None}]
)
def test_what_was_changed_does_not_open(changed: dict[str, Any]) -> None:
    """Another version of the key, no base64, too short."""
    (place,) = places("transfer", sealed(HERE, "transfer", {"personal": about("ada")}, KEYS))
    place.body["personal"] |= changed
    with pytest.raises(TamperedError):
        opened(HERE, place, ADA)


def test_masked_shows_whom_it_is_about_alone() -> None:
    """Everywhere in the operation."""
    shown = masked("group", sealed(HERE, "group", group("ada", "bob"), KEYS))
    assert [one["personal"] for one in shown["operations"]] == [
        {"subject": "ada", "sealed": True},
        {"subject": "bob", "sealed": True},
    ]
