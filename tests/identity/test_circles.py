"""Nobody waits in a circle: what touches the same people, sessions, tickets and keys at once does
so in one order. Postgres ends a circle with an error after a second, which would be a 503 here."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from api.identity import sessions, tickets
from models.db import tenant_writing
from models.key_ring import key_ring
from pipeline.identity.people import subject_of
from pipeline.privacy.data_keys import keys_of
from tests.identity.conftest import GOOD, House

THREADS, ACTS_EACH = 8, 30
Act = Callable[[], Any]


def acts_on(house: House, people: dict[str, str]) -> list[Act]:
    """What may be done to each of these people, by e-mail address, over HTTP and beside it."""
    owner = house.admin()

    def on(method: str, path: str, body: Any = None) -> Act:
        return lambda: owner.call(method, path, body)

    def going_on(email: str) -> Any:
        answer = house.try_in(email)
        if answer.status_code != 201:
            return answer
        word = answer.json["refresh_token"]
        house.refresh(word)
        return house.refresh(word)  # used before: the session ends

    def sealing(one: str, other: str) -> Any:
        """Their keys at once, in whichever order they are named."""
        with tenant_writing(house.tenant_id) as connection:
            keys_of(connection, key_ring(), house.tenant_id, [subject_of(one), subject_of(other)])
        return owner.get(f"/v1/people/{one}")

    every: list[Act] = []
    for email, person in people.items():
        where, subject = f"/v1/people/{person}", f"/v1/subjects/{subject_of(person)}"
        other = next(one for one in people.values() if one != person)
        every += [
            on("PATCH", where, {"roles": ["owner"]}),
            on("PATCH", where, {"roles": ["auditor", "operator"]}),
            on("PATCH", where, {"status": "active"}),
            on("DELETE", where),
            on("POST", f"{where}/password-reset"),
            on("POST", f"{subject}/restrict"),
            on("POST", f"{subject}/unrestrict"),
            on("POST", f"{subject}/export"),
            partial(going_on, email),
            partial(sealing, person, other),
            partial(sealing, other, person),
        ]
    return every


def test_people_and_what_hangs_on_them_are_held_in_one_order(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight who do all there is to the same three people: each is answered, none by a circle."""
    for routes in (sessions, tickets):
        monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    house.person("owner")  # one who stays
    emails = [f"{name}@example.com" for name in ("ada", "grace", "joan")]
    people = {email: house.person("owner", email=email, password=GOOD) for email in emails}
    acts = acts_on(house, people)

    def busy(seed: int) -> Counter[int]:
        drawn = random.Random(seed)
        chosen = [drawn.choice(acts) for _ in range(ACTS_EACH)]
        return Counter(act().status_code for act in chosen)

    with ThreadPoolExecutor(THREADS) as threads:
        told = sum(threads.map(busy, range(THREADS)), Counter[int]())
    assert told.total() == THREADS * ACTS_EACH
    assert max(told) < 500, told
    assert told[200] > told.total() / 3, told
