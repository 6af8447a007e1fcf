"""Is the process alive, and can it do its work? For load balancers and people; no token needed."""

import psycopg2
import redis
import structlog
from flask import Response
from flask_smorest import Blueprint
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api import openapi
from api.answers import answer
from api.checked import Check
from api.state import state
from models.settings import SettingsError
from tasks.ring import broker

blueprint = Blueprint("Health", __name__, description="Is it up?")

# Without these nothing can be accepted; without the others it is only slower.
NEEDED = ("database", "writer")

log = structlog.get_logger("trident.health")


@blueprint.route("/healthz", methods=["GET"])
@blueprint.doc(**openapi.route({200: ("Health", "The process answers.")}, open_to_all=True))
def alive() -> Response:
    """Is the process alive?"""
    return answer({"status": "ok", "checks": {}})


@blueprint.route("/readyz", methods=["GET"])
@blueprint.doc(
    **openapi.route(
        {
            200: ("Health", "Operations are accepted; `degraded` names what else is down."),
            503: ("Health", "They are not: the database or the writer is down."),
        },
        open_to_all=True,
    )
)
def ready() -> Response:
    """Can it do its work?

    The database and the writer must be up. Without the broker or the listener operations are
    accepted all the same: they are then posted, and waiting requests answered, later.
    """
    found = state().checked.look(CHECKS)
    down = [name for name, said in found.items() if said != "ok"]
    if not down:
        return answer({"status": "ok", "checks": found})
    log.warning("not_all_well", **found)
    if any(name in NEEDED for name in down):
        return answer({"status": "down", "checks": found}, 503)
    return answer({"status": "degraded", "checks": found})


def _database() -> str | None:
    try:
        with state().engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except (psycopg2.Error, SQLAlchemyError, SettingsError) as error:
        return f"cannot be used ({type(error).__name__})"
    return None


def _broker() -> str | None:
    try:
        broker().ping()
    except redis.RedisError as error:
        return f"cannot be reached ({type(error).__name__}): operations wait for the sweeper"
    return None


def _writer() -> str | None:
    return state().writer.trouble()


def _listener() -> str | None:
    return state().listener.trouble()


CHECKS: dict[str, Check] = {
    "database": _database,
    "broker": _broker,
    "writer": _writer,
    "listener": _listener,
}
