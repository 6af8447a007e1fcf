"""What people do that makes mail, and what is kept of it."""

from typing import Any

from tests.identity.conftest import ADA, House


def invite(house: House, email: str = ADA) -> dict[str, Any]:
    """An owner invites somebody."""
    answer = house.admin().post("/v1/people", {"email": email, "roles": ["operator"]})
    assert answer.status_code == 201, answer.text
    return dict(answer.json or {})


def forget(house: House, email: str = ADA) -> Any:
    """Somebody, without a token, asks for a reset."""
    asked = {"tenant": house.name, "email": email}
    return house.caller().post("/v1/password-resets", asked)


def kept(house: House) -> list[tuple[Any, ...]]:
    """What became of each mail of the tenant, after how many tries, and whether it is kept."""
    query = "SELECT outcome, attempts, ticket IS NOT NULL FROM mails ORDER BY made_at"
    return [tuple(row) for row in house.run(query)]


def hurry(house: House) -> None:
    """The time of what waits has come."""
    house.run("UPDATE mails SET next_at = now() WHERE next_at IS NOT NULL")
