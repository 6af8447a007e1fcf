"""What the data commands share: whose ledger, in which format, and errors as one clear sentence.

Exit codes: 0 done; 1 a fault of the surroundings, or `verify` found one; 2 asked for something
impossible; 3 an import with rejected rows; 130 Ctrl-C.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import psycopg2
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from models.db import tenant_reading
from models.ledger import LedgerRef, ledgers_of
from models.tenant import UnknownTenantError, tenant_id_of, tenant_state
from pipeline.accept import TENANT_DELETED
from pipeline.permissions import ROLES

EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_REJECTED = 3
EXIT_INTERRUPTED = 130
# Enough names to see a typing error by.
NAMES_SHOWN_MAX = 20
# How long a pager may stand still before the snapshot behind it is given up.
PAGER_WAIT_MIN = 30

DELETED = (
    "The tenant is deleted: nothing is accepted in its name. `trident tenants restore` takes it"
    " back."
)
HINT = "Is the stack running? `make run` starts it."

Function = TypeVar("Function", bound=Callable[..., Any])


class Unfulfillable(click.ClickException):
    """What was asked for cannot be done; the message says what to do instead."""

    exit_code = EXIT_USAGE

    def show(self, file: Any = None) -> None:
        """On standard error, in the form that all of `trident` uses."""
        click.echo(f"trident: {self.message}", file=file, err=file is None)


class DatabaseFault(Unfulfillable):
    """The database cannot be reached, or failed."""

    exit_code = EXIT_FAULT


class DataCommand(click.Command):
    """A command that reads or writes ledgers. Faults end it with a sentence, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what goes wrong is said by it, so nothing is logged beside."""
        before = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        try:
            return super().invoke(ctx)
        except UnknownTenantError as error:
            raise Unfulfillable(str(error)) from None
        except (psycopg2.Error, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if getattr(cause, "pgcode", None) == TENANT_DELETED:
                raise Unfulfillable(DELETED) from None
            raise DatabaseFault(f"The database failed: {str(cause).strip()}\n{HINT}") from None
        finally:
            structlog.configure(**before)


def tenant_option(function: Function) -> Function:
    """--tenant"""
    return click.option(
        "--tenant",
        default="default",
        show_default=True,
        metavar="NAME",
        help="Whose ledger: a tenant's number, or its name (other names than `default` take the"
        " owner's database address).",
    )(function)


def role_option(whose: str, **more: Any) -> Callable[[Function], Function]:
    """--role, repeatable; the command gets `roles`. `more` as click.option takes it."""
    return click.option(
        "--role",
        "roles",
        type=click.Choice(tuple(ROLES)),
        multiple=True,
        help=f"What {whose} may do; may be repeated.",
        **more,
    )


def ledger_option(function: Function) -> Function:
    """--ledger"""
    return click.option(
        "--ledger", default="main", show_default=True, metavar="NAME", help="Which ledger."
    )(function)


def format_options(function: Function) -> Function:
    """--format, and --json for short; the command gets `form`."""
    formats = click.Choice(["table", "csv", "json"])
    function = click.option(
        "--format",
        "form",
        type=formats,
        default="table",
        show_default=True,
        help="table for people; csv and json for programs.",
    )(function)
    return click.option("--json", "form", flag_value="json", help="The same as --format json.")(
        function
    )


def json_option(function: Function) -> Function:
    """--json"""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        function
    )


@contextmanager
def patient_reading(tenant_id: int) -> Iterator[Connection]:
    """A snapshot of the tenant for output that a person pages through."""
    with tenant_reading(tenant_id) as connection:
        connection.execute(
            text("SELECT set_config('idle_in_transaction_session_timeout', :wait, true)"),
            {"wait": f"{PAGER_WAIT_MIN}min"},
        )
        yield connection


def the_open_ledger(tenant: str, name: str) -> LedgerRef:
    """The same, where something will be put into its log; raises Unfulfillable."""
    ledger = the_ledger(tenant, name)
    with tenant_reading(ledger.tenant_id) as connection:
        found = tenant_state(connection, ledger.tenant_id)
    if found is not None and found.deleted:
        raise Unfulfillable(
            f"Tenant {found.name} is deleted: nothing is accepted in its name."
            f" `trident tenants restore {found.name}` takes it back."
        )
    return ledger


def the_ledger(tenant: str, name: str) -> LedgerRef:
    """The ledger that the options name; raises Unfulfillable, which names those that there are."""
    tenant_id = tenant_id_of(tenant)
    with tenant_reading(tenant_id) as connection:
        ledgers = ledgers_of(connection, tenant_id)
    for ledger in ledgers:
        if ledger.name == name:
            return ledger
    known = ", ".join(ledger.name for ledger in ledgers[:NAMES_SHOWN_MAX])
    more = " and more" if len(ledgers) > NAMES_SHOWN_MAX else ""
    there_are = f"It has: {known}{more}." if known else "It has none, or does not exist."
    raise Unfulfillable(f"Tenant {tenant} has no ledger {name!r}. {there_are}")
