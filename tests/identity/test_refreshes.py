"""A refresh token works once: whoever races for its successor loses nothing, a thief everything."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Signal
from typing import Any

import pytest
from structlog.testing import capture_logs

from models.db import app_engine, tenant_writing
from pipeline.identity import sessions
from tests.api.caller import problem
from tests.identity.conftest import House
from tests.identity.waiting import wait_for_locks


def killed(house: House, refresh_token: str) -> dict[str, Any]:
    """The event of a used refresh token that ends its session, with an alert."""
    with capture_logs() as logs:
        assert problem(house.refresh(refresh_token)) == (401, "session_ended")
    assert [one["event"] for one in logs if one["event"] == "refresh_token_reused"]
    (told,) = house.told("session.reused")
    return told


def test_a_used_refresh_token_kills_the_session(house: House, tokens: dict[str, Any]) -> None:
    """Thief and owner are both out, an alert is raised and an event recorded, once."""
    newer = house.refresh(tokens["refresh_token"]).json
    newest = house.refresh(newer["refresh_token"]).json
    told = killed(house, tokens["refresh_token"])
    assert told["outcome"] == "refused"
    assert told["target"] == f"session:{tokens['session']}"
    assert house.me(newest["access_token"]) == 401
    for one in (newest, newer, tokens):
        assert problem(house.refresh(one["refresh_token"])) == (401, "session_ended")
    assert len(house.told("session.reused")) == 1


@pytest.mark.parametrize("moved", ["-", "+"])
def test_a_race_is_over_after_some_seconds(
    house: House, tokens: dict[str, Any], moved: str
) -> None:
    """From then on a used token was stolen, though its successor lies unused; also where the
    database's clock was set back meanwhile."""
    newer = house.refresh(tokens["refresh_token"]).json
    assert problem(house.refresh(tokens["refresh_token"])) == (409, "refresh_raced")
    ago = f"UPDATE sessions SET used_at = used_at {moved} cast(:race AS interval)"
    house.run(ago, race=sessions.RACE + dt.timedelta(seconds=5))
    killed(house, tokens["refresh_token"])
    assert problem(house.refresh(newer["refresh_token"])) == (401, "session_ended")


def test_parallel_refreshes_have_one_successor(house: House, tokens: dict[str, Any]) -> None:
    """One of eight wins, the others are told so, and the successor lives: time and again."""
    newest = tokens
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            answers = [*threads.map(house.refresh, [newest["refresh_token"]] * 8)]
            (newest,) = [one.json for one in answers if one.status_code == 200]
            others = [problem(one) for one in answers if one.status_code != 200]
            assert others == [(409, "refresh_raced")] * 7
            assert house.me(newest["access_token"]) == 200
    assert house.told("session.reused") == []
    killed(house, tokens["refresh_token"])


def test_a_race_kills_nothing(house: House, tokens: dict[str, Any]) -> None:
    """A request that saw the token unused before the winner committed is answered 409."""
    tenant, session = house.tenant_id, tokens["session"]
    rotated, go_on = Signal(), Signal()

    def win() -> int:
        with tenant_writing(tenant, app_engine()) as connection:
            made = sessions.refresh(connection, tenant, session, 1)
            rotated.set()
            go_on.wait(10)
            assert isinstance(made, sessions.Granted)
            return made.generation

    with ThreadPoolExecutor(2) as threads:
        winner = threads.submit(win)
        assert rotated.wait(10)
        loser = threads.submit(house.refresh, tokens["refresh_token"])
        wait_for_locks(1)
        go_on.set()
        assert winner.result() == 2
        assert problem(loser.result()) == (409, "refresh_raced")
    assert house.me(tokens["access_token"]) == 200
    assert house.told("session.reused") == []
