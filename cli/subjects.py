"""`trident subjects`: what is held of a person, exported, restricted, erased, and proved."""

import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import click
import orjson
from sqlalchemy import Connection

from cli.asking import DataCommand, Unfulfillable, format_options, tenant_option
from cli.exporting import place_of, write
from cli.importing import user_name
from cli.printing import print_listing
from cli.ringing import ring_for
from cli.statement import utc
from models.db import app_engine, tenant_reading, tenant_writing
from models.key_ring import key_ring
from models.sealed import TamperedError
from models.signing_key import signing_keys
from models.tenant import tenant_id_of
from pipeline.events import Event, Recorded, record
from pipeline.identity.errors import IdentityError
from pipeline.privacy import subjects as acts
from pipeline.privacy.certificate import BadCertificateError, certify, check, read
from pipeline.privacy.data_keys import ErasedError, UnknownSubjectError
from pipeline.privacy.export import about
from pipeline.privacy.export import export as pieces_of

COLUMNS = ("subject", "due_at", "asked_by")
FAULTS = (
    UnknownSubjectError,
    ErasedError,
    acts.SubjectErasedError,
    BadCertificateError,
    TamperedError,
    IdentityError,
)

Act = Callable[[Connection, int, str, str], Recorded | None]


@click.group()
def subjects() -> None:
    """Export, restrict and erase what is held of a person."""


@subjects.command(cls=DataCommand)
@click.argument("ref")
@tenant_option
def show(ref: str, tenant: str) -> None:
    """Show what has become of a subject."""
    _show(tenant_id_of(tenant), ref)


@subjects.command(cls=DataCommand)
@click.argument("ref")
@click.option(
    "--to",
    metavar="PLACE",
    help="Write it to a file of its own in this folder, or below s3://bucket/prefix/.",
)
@tenant_option
def export(ref: str, to: str | None, tenant: str) -> None:
    """Print all that is held of a subject, in clear, as JSON."""
    tenant_id, subject = tenant_id_of(tenant), acts.named(ref)
    place = None if to is None else place_of(to, ref)
    try:
        with tenant_reading(tenant_id) as connection:
            pieces = pieces_of(connection, key_ring(), tenant_id, subject)
            first = next(pieces)
            # Told before anything leaves: what is not on record is not handed out.
            _tell(tenant_id, subject, place)
            if place is None:
                for piece in chain([first], pieces):
                    sys.stdout.write(piece.decode())
            else:
                write(place, chain([first], pieces))
                click.echo(place)
    except (UnknownSubjectError, ErasedError, TamperedError) as error:
        raise Unfulfillable(str(error)) from None


@subjects.command(cls=DataCommand)
@click.argument("ref")
@tenant_option
def restrict(ref: str, tenant: str) -> None:
    """Let no new operation name a subject."""
    _change(acts.restrict, ref, tenant)


@subjects.command(cls=DataCommand)
@click.argument("ref")
@tenant_option
def unrestrict(ref: str, tenant: str) -> None:
    """Take that back, and an erasure that is not due yet."""
    _change(acts.unrestrict, ref, tenant)


@subjects.command(cls=DataCommand)
@click.argument("ref")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@tenant_option
def erase(ref: str, yes: bool, tenant: str) -> None:
    """Erase a subject for good, now or when retention ends."""
    if not yes:
        click.confirm(f"Erase all personal data of {ref} for good?", abort=True, err=True)
    _change(acts.erase, ref, tenant)


@subjects.command("list-due", cls=DataCommand)
@tenant_option
@format_options
def list_due(tenant: str, form: str) -> None:
    """Show which subjects are erased when retention ends."""
    tenant_id = tenant_id_of(tenant)
    with tenant_reading(tenant_id) as connection:
        found = [
            (acts.shown(one.subject), utc(one.due_at), one.asked_by)
            for one in acts.read_due(connection, tenant_id)
        ]
    print_listing(COLUMNS, found, form)


@subjects.command(cls=DataCommand)
@click.argument("ref", required=False)
@click.option(
    "--check",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Verify the certificate in this file, JSON or the JWS alone.",
)
@tenant_option
def certificate(ref: str | None, file: Path | None, tenant: str) -> None:
    """Print the certificate of an erasure, or verify one."""
    tenant_id = tenant_id_of(tenant)
    if (ref is None) == (file is None):
        raise click.UsageError("Give the subject's reference, or --check FILE.")
    try:
        if file is not None:
            with tenant_reading(tenant_id) as connection:
                said = check(connection, tenant_id, read(file.read_bytes()))
            click.echo("The signature is ours, and the log agrees.")
            _print(said)
            return
        subject = acts.named(str(ref))
        with tenant_reading(tenant_id) as connection:
            keys = signing_keys(app_engine())
            made = certify(connection, keys, key_ring(), tenant_id, subject)
    except FAULTS as error:
        raise Unfulfillable(str(error)) from None
    if made is None:
        raise Unfulfillable(f"{ref} is not erased: there is nothing to certify.")
    _print({**made.says, "jws": made.jws})


def _change(act: Act, ref: str, tenant: str) -> None:
    tenant_id, subject = tenant_id_of(tenant), acts.named(ref)
    try:
        with tenant_writing(tenant_id) as connection:
            recorded = act(connection, tenant_id, subject, user_name())
    except FAULTS as error:
        raise Unfulfillable(str(error)) from None
    ring_for(recorded)
    _show(tenant_id, ref)


def _tell(tenant_id: int, subject: str, place: str | None) -> None:
    detail = None if place is None else {"to": place}
    with tenant_writing(tenant_id) as connection:
        event = Event("subject.exported", user_name(), target=subject, detail=detail)
        recorded = record(connection, tenant_id, event)
    ring_for(recorded)


def _show(tenant_id: int, ref: str) -> None:
    try:
        with tenant_reading(tenant_id) as connection:
            _print(about(acts.state_of(connection, tenant_id, acts.named(ref))))
    except UnknownSubjectError as error:
        raise Unfulfillable(str(error)) from None


def _print(document: dict[str, Any]) -> None:
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))
