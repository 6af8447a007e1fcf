"""What requests name that are to succeed: things that are there, made anew where one is used up.

By route, as the document writes it. What a request needs comes as members by their names: those
that stand in its path, those of its body, and `bearer` where it takes somebody's own token.
"""

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from flask import Flask

from pipeline.permissions import ROLES
from tests.api.caller import WORLD, Caller, new_key, token, transfer
from tests.api.test_personal import about
from tests.identity.conftest import GOOD, OTHER, House, code_of, unlock_addresses

Members = dict[str, Any]
EVERY = tuple(ROLES)
LEDGER, SCRAP, BANK = "main", "scrap", "ours:bank"
# Above this a transfer waits for an approval.
LARGE = 10**6
MAPPING = {"columns": {"booking_date": "Date", "amount": "Amount", "description": "Text"}}
SCHEDULE = {
    "operation": transfer(),
    "rule": "FREQ=MONTHLY",
    "starts_at": "2026-12-01T08:00:00Z",
    "time_zone": "UTC",
}


class Needed(NamedTuple):
    """What a request names, and whose token it brings; without one, anybody's of the tenant.

    `raw` is a body that is not JSON, with its type.
    """

    members: Members
    bearer: str | None = None
    query: Members | None = None
    raw: tuple[str, Any] | None = None


class World:
    """A tenant with something of everything."""

    def __init__(self, app: Flask, house: House) -> None:
        self.house = house
        self.maker = Caller(app, LEDGER, token(ROLES, house.tenant_id, "maker"))
        self.numbers = count(1)
        self.maker.open("world", **WORLD)
        self.maker.open("a")
        self.maker.open("fees", type="income")
        self.maker.open(BANK, type="asset", overdraft="unlimited")
        self.maker.posted(
            {"kind": "set_approval", "name": "large", "currency": "EUR", "above": LARGE}
        )
        assert self.maker.call("PUT", "csv-mappings/own", MAPPING).status_code == 200
        # What changes how a ledger takes operations, or fills it, goes to another one.
        assert self.maker.post("/v1/ledgers", {"name": SCRAP}).status_code == 201
        scrap = Caller(app, SCRAP, self.maker.bearer)
        scrap.open_two()
        self.always = {
            "ledger": LEDGER,
            "code": "a",
            "name": "m",
            "operation_id": self.maker.posted(transfer())["id"],
            **self.schedule(),
            **self.match(),
            **self.key(),
            **self.subject(),
            "person_id": self.person(),
        }
        self.known = self.credentials()
        self.ready: dict[tuple[str, tuple[str, ...]], Needed] = {}

    def of(self, label: str, roles: tuple[str, ...] = EVERY) -> Needed:
        """What a request of this route needs to succeed, by somebody of these roles."""
        key = (label, roles if label in OWN else EVERY)
        if key not in self.ready:
            self.ready[key] = self._made(label, roles)
        return self.ready[key]

    def used(self, needed: Needed) -> None:
        """It was used up: others are made for the next request."""
        self.ready = {key: one for key, one in self.ready.items() if one is not needed}

    def _made(self, label: str, roles: tuple[str, ...]) -> Needed:
        if label in OWN:
            return OWN[label](self, roles)
        made = MADE[label](self) if label in MADE else {}
        if "/reconciliations/" in label:
            made.setdefault("code", BANK)
        if label == IMPORT:
            return Needed(
                self.always | made, query={"mapping": "own"}, raw=("text/csv", self.csv())
            )
        return Needed(self.always | made)

    def new(self, prefix: str) -> str:
        """A name that nothing has."""
        return f"{prefix}-{next(self.numbers)}"

    def made(self, path: str, body: Any = None, status: int = 201) -> Any:
        """What the answer to a POST holds that must succeed."""
        answer = self.maker.post(path, body, key=new_key(), wait=10)
        assert answer.status_code == status, answer.text
        return answer.json

    def account(self, *acts: str) -> Members:
        """An account of which that was done."""
        code = self.new("code")
        self.maker.open(code)
        for act in acts:
            self.made(f"accounts/{code}/{act}", status=200)
        return {"code": code}

    def waiting(self) -> Members:
        """An operation that waits for somebody's approval."""
        shown = self.maker.submit(transfer(LARGE + 1), wait=10).json or {}
        assert shown["status"] == "pending", shown
        return {"operation_id": shown["id"]}

    def schedule(self, *acts: str) -> Members:
        """A schedule of which that was done."""
        made = self.made("schedules", SCHEDULE)["id"]
        for act in acts:
            self.made(f"schedules/{made}/{act}", status=200)
        return {"schedule_id": made}

    def line(self) -> Members:
        """A line of the bank's statement that nothing is matched with."""
        path = f"reconciliations/{BANK}/statements?mapping=own"
        taken = self.maker.post(path, self.csv(), mimetype="text/csv")
        assert taken.status_code == 201, taken.text
        page: Any = self.maker.get(f"reconciliations/{BANK}/lines?limit=200").json
        while page["next"] is not None:
            path = f"reconciliations/{BANK}/lines?limit=200&after={page['next']}"
            page = self.maker.get(path).json
        return {"lines": [page["data"][-1]["number"]]}

    def csv(self) -> bytes:
        """A statement of the bank's."""
        return f"Date,Amount,Text\n2026-10-06,1.00,{self.new('line')}\n".encode()

    def posting(self) -> Members:
        """A posting of ours that nothing is matched with."""
        posted = self.maker.posted(transfer(source=BANK))
        return {"postings": [{"operation": posted["id"]}]}

    def match(self) -> Members:
        """A match of the two."""
        both = self.line() | self.posting()
        return {"number": str(self.made(f"reconciliations/{BANK}/matches", both)["number"])}

    def key(self) -> Members:
        """An API key."""
        return {"key_id": self.made("/v1/api-keys", {"name": "k", "roles": ["reader"]})["id"]}

    def subject(self, *acts: str) -> Members:
        """Somebody whom an operation names, and to whom that was done."""
        ref = self.new("customer")
        self.maker.posted(transfer(personal=about(ref)))
        for act in acts:
            self.made(f"/v1/subjects/{ref}/{act}", status=200)
        return {"ref": ref}

    def person(self, *roles: str) -> str:
        """Somebody who may sign in."""
        return self.house.person(*(roles or ("auditor",)))

    def ticket(self, name: str) -> Members:
        """What an invitation or a reset brings to somebody."""
        if name == "reset_token":
            offered = self.made(f"/v1/people/{self.person()}/password-reset")
            return {name: offered["token"], "password": OTHER}
        invited = self.made("/v1/people", self.stranger())
        return {name: invited["invitation_token"], "password": GOOD}

    def stranger(self) -> Members:
        """Somebody who is no person of the tenant yet."""
        return {"email": f"{self.new('p')}@example.com", "roles": ["auditor"]}

    def credentials(self) -> Members:
        """Somebody who may sign in, and what they do it with."""
        email = f"{self.new('p')}@example.com"
        self.house.person("auditor", email=email)
        return {"tenant": self.house.name, "email": email, "password": GOOD}

    def known_here(self) -> Members:
        """What somebody may sign in with from where nobody has tried in vain."""
        unlock_addresses()
        return dict(self.known)

    def signed_in(self, roles: tuple[str, ...], factor: str = "") -> Needed:
        """Somebody with their own token, who knows their password, and has a second factor on or
        offered if that is asked for."""
        email = f"{self.new('p')}@example.com"
        person = self.house.person(*roles, email=email)
        unlock_addresses()
        session = self.house.sign_in(email)
        me = self.house.caller(session["access_token"])
        members = {"password": GOOD, "new_password": OTHER, "person_id": person}
        members |= {"session_id": session["session"], "refresh_token": session["refresh_token"]}
        if factor:
            secret = (me.post("/v1/people/me/totp", {"password": GOOD}).json or {})["secret"]
            members["code"] = code_of(secret)
        if factor == "on":
            confirmed = me.post("/v1/people/me/totp/confirm", {"code": members["code"]})
            assert confirmed.status_code == 200, confirmed.text
        return Needed(members, me.bearer)


def _acting(act: str, *before: str) -> dict[str, Callable[[World], Members]]:
    """For an act on a schedule."""
    label = f"POST /v1/ledgers/{{ledger}}/schedules/{{schedule_id}}/{act}"
    return {label: lambda world: world.schedule(*before)}


ACCOUNT = "/v1/ledgers/{ledger}/accounts/{code}"
DECIDING = "POST /v1/ledgers/{ledger}/approvals/{operation_id}"
RECONCILING = "/v1/ledgers/{ledger}/reconciliations/{code}"
IMPORT = f"POST {RECONCILING}/statements"
IN_SCRAP = {"ledger": SCRAP}

# What a call uses up, or must be in some state for it, by the route.
MADE: dict[str, Callable[[World], Members]] = {
    "POST /v1/sessions": World.known_here,
    "POST /v1/sessions/refresh": lambda world: world.signed_in(("auditor",)).members,
    "POST /v1/invitations/accept": lambda world: world.ticket("invitation_token"),
    "POST /v1/password-resets": lambda world: dict(world.known),
    "POST /v1/password-resets/accept": lambda world: world.ticket("reset_token"),
    "POST /v1/people": World.stranger,
    "PATCH /v1/people/{person_id}": lambda world: {"person_id": world.person()},
    "DELETE /v1/people/{person_id}": lambda world: {"person_id": world.person()},
    "DELETE /v1/people/{person_id}/totp": lambda world: {
        "person_id": world.signed_in(("auditor",), "on").members["person_id"]
    },
    "PATCH /v1/api-keys/{key_id}": World.key,
    "DELETE /v1/api-keys/{key_id}": World.key,
    "POST /v1/api-keys/{key_id}/rotate": World.key,
    "POST /v1/ledgers": lambda world: {"name": world.new("ledger")},
    "POST /v1/ledgers/{ledger}/accounts": lambda world: {"code": world.new("code"), **IN_SCRAP},
    "POST /v1/ledgers/{ledger}/operations": lambda world: IN_SCRAP | transfer(),
    "POST /v1/ledgers/{ledger}/operations/bulk": lambda _: dict(IN_SCRAP),
    "POST /v1/ledgers/{ledger}/schedules": lambda _: IN_SCRAP | SCHEDULE,
    f"PATCH {ACCOUNT}": World.account,
    f"POST {ACCOUNT}/freeze": World.account,
    f"POST {ACCOUNT}/unfreeze": lambda world: world.account("freeze"),
    f"POST {ACCOUNT}/close": World.account,
    f"POST {ACCOUNT}/reopen": lambda world: world.account("close"),
    f"{DECIDING}/approve": World.waiting,
    f"{DECIDING}/refuse": World.waiting,
    **_acting("pause"),
    **_acting("resume", "pause"),
    **_acting("cancel"),
    f"POST {RECONCILING}/matches": lambda world: world.line() | world.posting(),
    f"POST {RECONCILING}/matches/{{number}}/undo": World.match,
    f"POST {RECONCILING}/exclusions": World.posting,
    f"POST {RECONCILING}/bookings": lambda world: world.line() | {"against": "fees"},
    **{
        f"POST /v1/subjects/{{ref}}/{act}": World.subject
        for act in ("restrict", "unrestrict", "erase", "export")
    },
    "GET /v1/subjects/{ref}/certificate": lambda world: world.subject("erase"),
}
# What people do as themselves, with a token of their own.
OWN: dict[str, Callable[[World, tuple[str, ...]], Needed]] = {
    **dict.fromkeys(
        (
            "GET /v1/sessions",
            "DELETE /v1/sessions/current",
            "DELETE /v1/sessions/{session_id}",
            "GET /v1/people/me",
            "PATCH /v1/people/me",
            "POST /v1/people/me/password",
            "POST /v1/people/me/totp",
        ),
        World.signed_in,
    ),
    "POST /v1/people/me/totp/confirm": lambda world, roles: world.signed_in(roles, "offered"),
    "DELETE /v1/people/me/totp": lambda world, roles: world.signed_in(roles, "on"),
}
