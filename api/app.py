"""The Flask app."""

from flask import Flask

from api import (
    accounts,
    approvals,
    docs,
    dry_runs,
    errors,
    events,
    external_statements,
    health,
    jwks,
    ledgers,
    matches,
    openapi_document,
    operations,
    postings,
    reconciliations,
    reports,
    rules,
    schedules,
    statements,
    tenant,
    tokens,
)
from api.books import Books
from api.checked import Checked
from api.converters import AccountCode, Name, Reference
from api.gateway.cors import Cors
from api.gateway.gate import Dressed, Gate
from api.gateway.proxies import Proxies
from api.gateway.rates import Rates
from api.identity import api_keys, asking, own, people, sessions, tickets
from api.plain import Plain
from api.privacy import subjects
from api.state import State, attach
from api.tenancy import Tenancy
from api.waiting import Listener
from api.writer import Ring, Writer
from models.db import intake_engine
from models.logs import set_up_logs
from models.settings import settings
from pipeline.came_from import ask_for_whence
from tasks.ring import ringer

# In the order of the document.
ROUTES = (
    tenant,
    sessions,
    own,
    people,
    tickets,
    api_keys,
    events,
    ledgers,
    accounts,
    operations,
    postings,
    dry_runs,
    approvals,
    rules,
    schedules,
    subjects,
    statements,
    reports,
    reconciliations,
    matches,
    external_statements,
    health,
    jwks,
)


def create_app(ring: Ring | None = None) -> Flask:
    """The app with its writer and listener running. `ring` is told of new operations."""
    settings()
    set_up_logs(settings().log_level)
    app = Plain("trident", template_folder=docs.TEMPLATES, static_folder=None)

    # Codes of accounts may hold slashes, doubled or at the end: an address is taken as it is.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    converters = {"default": Name, "account_code": AccountCode, "reference": Reference}
    app.url_map.converters |= converters

    engine = intake_engine()
    tokens.set_up(app, engine)
    errors.register(app)

    api = openapi_document.make(app)
    for routes in ROUTES:
        api.register_blueprint(routes.blueprint)
    docs.register(app, api)
    errors.register(app)

    told = ring or ringer().add
    tenancy = Tenancy(engine)
    gate = Gate(settings(), Cors(engine, tenancy), tenancy, Rates(settings().broker_url))
    gate.install(app)
    # mypy knows methods as what they are, and not as what they may be replaced with.
    dressed = Dressed(app.wsgi_app)
    app.wsgi_app = Proxies(dressed, settings().trusted_proxies)  # type: ignore[method-assign]
    held = State(
        engine=engine,
        writer=Writer(engine, told, settings().max_lag),
        listener=Listener(engine),
        tokens=tokens.Tokens(engine),
        books=Books(engine),
        checked=Checked(),
        tenancy=tenancy,
        gate=gate,
        ring=told,
    )
    attach(app, held)
    ask_for_whence(asking.came_from)
    return app
