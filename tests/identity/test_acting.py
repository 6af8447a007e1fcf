"""Who acts counts when it is their turn, not only when they asked."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, text

from models.db import app_engine, tenant_writing
from tests.api.caller import Caller, problem
from tests.identity.conftest import House
from tests.identity.waiting import wait_for_locks

HOLD = text("SELECT FROM people WHERE tenant_id = :tenant ORDER BY person_id FOR UPDATE")
DEMOTE = text("""
    UPDATE people SET roles = '{reader}', version = version + 1
     WHERE tenant_id = :tenant AND person_id = :person
""")
OUT = (401, "token_invalid")


def admins(house: House, role: str) -> list[tuple[Caller, str]]:
    """Two people of this role, beside an owner who is left in any case: callers, and ids."""
    house.person("owner", email="left@example.com")
    names = ("ada@example.com", "bob@example.com")
    ids = [house.person(role, email=name) for name in names]
    return [
        (house.caller(house.sign_in(name)["access_token"]), person)
        for name, person in zip(names, ids, strict=True)
    ]


def hold(connection: Connection, house: House) -> None:
    """Everybody waits who would change somebody."""
    connection.execute(HOLD, {"tenant": house.tenant_id})


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_of_two_who_disable_each_other_one_stays(house: House, role: str) -> None:
    """The second is out by the time that it is their turn."""
    (ada, ada_id), (bob, bob_id) = admins(house, role)
    with ThreadPoolExecutor(2) as threads:
        with tenant_writing(house.tenant_id, app_engine()) as connection:
            hold(connection, house)
            acts = ((ada, bob_id), (bob, ada_id))
            tries = [threads.submit(who.call, "DELETE", f"/v1/people/{whom}") for who, whom in acts]
            wait_for_locks(2)
        done, refused = sorted((one.result() for one in tries), key=lambda one: one.status_code)
    assert done.status_code == 200, done.text
    assert problem(refused) == OUT
    query = "SELECT status FROM people WHERE person_id IN (:a, :b)"
    found = house.run(query, a=ada_id, b=bob_id).scalars().all()
    assert sorted(found) == ["active", "disabled"]
    assert len(house.told("person.changed")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/people/{}", {"roles": ["reader"]}),
        ("POST", "/v1/people/{}/password-reset", None),
        ("DELETE", "/v1/people/{}/totp", None),
        ("POST", "/v1/subjects/person:{}/restrict", None),
    ],
)
def test_who_lost_a_role_meanwhile_does_nothing(
    house: House, method: str, path: str, body: Any
) -> None:
    """Whatever they had asked for before it was their turn."""
    (ada, ada_id), (_, bob_id) = admins(house, "admin")
    with ThreadPoolExecutor(1) as threads:
        with tenant_writing(house.tenant_id, app_engine()) as connection:
            hold(connection, house)
            asked = threads.submit(ada.call, method, path.format(bob_id), body)
            wait_for_locks(1)
            connection.execute(DEMOTE, {"tenant": house.tenant_id, "person": ada_id})
        assert problem(asked.result()) == OUT
    query = "SELECT status, restricted, roles FROM people WHERE person_id = :p"
    assert tuple(house.run(query, p=bob_id).one()) == ("active", False, ["admin"])
