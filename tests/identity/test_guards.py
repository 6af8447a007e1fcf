"""What the database refuses of people by itself, whatever the code above it does."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.db import app_engine, tenant_writing
from pipeline.identity import mails
from tests.api.caller import problem
from tests.identity.conftest import House
from tests.identity.mailing import invite
from tests.identity.post_office import PostOffice


@pytest.mark.parametrize("table", ["people", "tickets", "sessions", "mails"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {}",
        "TRUNCATE {}",
        "UPDATE {} SET tenant_id = 1",
        "UPDATE {} SET person_id = ''",
    ],
)
def test_people_are_neither_removed_nor_swapped(house: House, table: str, statement: str) -> None:
    """The application's role has no such right, but for sessions, tickets and mails that ended."""
    house.person("reader", email="ada@example.com")
    house.sign_in("ada@example.com")
    invite(house, "eve@example.com")
    house.run("""
        INSERT INTO mails (tenant_id, mail_id, person_id, purpose, ticket, until_at)
        SELECT tenant_id, 'ma_00000000000000000000', person_id, 'reset', 'x', now()
          FROM people LIMIT 1
    """)
    refused = {"tickets": "still counts", "sessions": "has not ended", "mails": "waits"}
    counts = statement.startswith("DELETE") and table in refused
    with pytest.raises(DBAPIError, match=refused[table] if counts else "permission denied"):
        house.run(statement.format(table))


def test_a_tenant_sees_its_own_people_alone(house: House) -> None:
    """Row-level security hides all others, and lets none be made for them."""
    house.person("reader", email="ada@example.com")
    house.sign_in("ada@example.com")
    for table in ("people", "tickets", "sessions"):
        with tenant_writing(1) as connection:
            query = text(f"SELECT count(*) FROM {table} WHERE tenant_id = :t")
            assert connection.execute(query, {"t": house.tenant_id}).scalar_one() == 0
    insert = text(
        "INSERT INTO people (tenant_id, person_id, email, roles)"
        " VALUES (:t, 'pe_00000000000000000000', '', '{owner}')"
    )
    with pytest.raises(DBAPIError, match="row-level security"), tenant_writing(1) as connection:
        connection.execute(insert, {"t": house.tenant_id})


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("tickets SET used_at = used_at", "tickets SET used_at = NULL", "was used"),
        ("people SET version = 3", "people SET version = 2", "does not follow 3"),
        (
            "people SET totp_secret = 'a', totp_last_step = 9",
            "people SET totp_last_step = 8",
            "count twice",
        ),
        ("people SET status = 'erased'", "people SET status = 'active'", "is erased"),
    ],
)
def test_what_was_used_up_stays_so(house: House, before: str, after: str, why: str) -> None:
    """Tickets, access tokens from before, codes of the second factor, and who was erased."""
    house.person("reader")
    house.run(f"UPDATE {before}")
    with pytest.raises(DBAPIError, match=why):
        house.run(f"UPDATE {after}")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SET outcome = 'sent', ended_at = now(), next_at = NULL", "mails_check"),
        ("SET ticket = 'x'", "another ticket"),
        ("SET attempts = -1", "mails_attempts_check"),
        ("SET outcome = 'given_up'", "mails_check"),
    ],
)
def test_a_mail_keeps_its_ticket_until_it_ends(
    house: House, office: PostOffice, statement: str, why: str
) -> None:
    """The same one, and none afterwards; what has ended stays so."""
    invite(house)
    with pytest.raises(DBAPIError, match=why):
        house.run(f"UPDATE mails {statement}")
    with tenant_writing(house.tenant_id) as connection:
        assert mails.withdraw(connection, house.tenant_id, None) == 1
    with pytest.raises(DBAPIError, match="has ended"):
        house.run("UPDATE mails SET attempts = 0")
    with pytest.raises(DBAPIError, match="counts among those of the day"):
        house.run("DELETE FROM mails")


def test_nobody_lists_tenants_by_their_names(house: House) -> None:
    """A name gives its number and nothing else; one that was deleted gives none."""
    with app_engine().begin() as connection:
        named = text("SELECT tenant_named(:name)")
        assert connection.execute(named, {"name": house.name}).scalar() == house.tenant_id
        assert connection.execute(named, {"name": "%"}).scalar() is None
        assert connection.execute(text("SELECT count(*) FROM tenants")).scalar_one() == 0


def test_what_was_copied_from_somebody_else_does_not_open(house: House) -> None:
    """It is bound to its person: whoever changes the table is told of, and nothing is shown."""
    first, second = (house.person("reader", email=f"{n}@example.com") for n in ("a", "b"))
    copied = "UPDATE people SET name = (SELECT email FROM people WHERE person_id = :b)"
    house.run(copied + " WHERE person_id = :a", a=first, b=second)
    for path in (f"/v1/people/{first}", "/v1/people"):
        assert problem(house.admin().get(path)) == (500, "personal_tampered")
    assert house.admin().get(f"/v1/people/{second}").status_code == 200
