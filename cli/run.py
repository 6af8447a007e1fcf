"""`trident run`: the stack left running, or running for as long as one command does."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import click
from cryptography import x509
from rich.console import Console
from rich.markup import escape

from cli.signals import EXIT_SIGNALLED, STOP_SIGNALS, interrupted_by_signals
from cli.stack import running, start
from cli.stack.apps import path
from cli.stack.ports import HOST
from cli.stack.saying import NOTE
from models.settings import TLS_CERTIFICATE

# What a shell reports of a command that cannot be found, or cannot be run.
EXIT_NOT_FOUND = 127
EXIT_NOT_RUNNABLE = 126

WELCOME = """
[bold]Trident is running.[/bold] Ctrl-C stops it.

  API     {TRIDENT_URL}
  Docs    {TRIDENT_URL}/docs
  Flower  {TRIDENT_FLOWER_URL}
  Data    {TRIDENT_HOME}
  Logs    {TRIDENT_HOME}/logs

Try it in another terminal:

  export TRIDENT_TOKEN={TRIDENT_TOKEN}

  {CURL}/v1/ledgers/main/operations -H "Authorization: Bearer $TRIDENT_TOKEN" \
-H 'Content-Type: application/json' -H 'Idempotency-Key: first-steps-1' -H 'Prefer: wait=5' \
-d '{BODY}'
"""
BODY = '{"kind":"open_account","code":"customers:42","type":"liability","currency":"USD"}'


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Start everything and leave it running, or run COMMAND with it.

    Without COMMAND, API, workers, beat and Flower run until Ctrl-C. With `-- COMMAND ...` they run
    as long as COMMAND does: it gets the stack's environment (TRIDENT_URL, TRIDENT_TOKEN and so
    on, and our own programs first in PATH), and its status is ours. The processes write their
    logs to $TRIDENT_HOME/logs.
    """
    with interrupted_by_signals():
        if command:
            sys.exit(_run_with(command))
        _leave_running(Console(soft_wrap=True, highlight=False))


def _leave_running(console: Console) -> None:
    with start(say=lambda line: console.print(f"  {line}", markup=False)) as env:
        values = {
            name: escape(value) for name, value in {**env, "CURL": curl(env), "BODY": BODY}.items()
        }
        console.print(WELCOME.format_map(values))
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        console.print("Stopping ...")
    console.print("Stopped. The data is kept: the next `make run` goes on with it.")


def curl(env: Mapping[str, str]) -> str:
    """The beginning of a request, up to the path. With TLS it trusts the certificate that the API
    has, by a name that stands in there; that name need not lead to this machine yet."""
    url, certificate = env["TRIDENT_URL"], env.get(TLS_CERTIFICATE)
    if certificate is None:
        return f"curl -s {url}"
    trusting = f"curl -s --cacert {shlex.quote(certificate)}"
    read = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return f"{trusting} {url}"
    hosts = [name.replace("*", "www") for name in names.get_values_for_type(x509.DNSName)]
    if not hosts or ip_address(HOST) in names.get_values_for_type(x509.IPAddress):
        return f"{trusting} {url}"
    port = env["TRIDENT_PORT"]
    return f"{trusting} --resolve {hosts[0]}:{port}:{HOST} https://{hosts[0]}:{port}"


def _run_with(command: tuple[str, ...]) -> int:
    program = shutil.which(command[0], path=path())
    if program is None:
        click.echo(f"trident: {command[0]}: not found", err=True)
        return EXIT_NOT_FOUND
    with running(say=_say_notes) as (env, supervisor):
        try:
            child = subprocess.Popen(  # noqa: S603  it is what we were asked to run
                command, executable=program, env={**os.environ, **env, "PATH": path()}
            )
        except OSError as error:
            click.echo(f"trident: {command[0]}: {error.strerror}", err=True)
            return EXIT_NOT_RUNNABLE
        with _passing_signals_to(child):
            supervisor.adopt("command", child.pid)
            status = child.wait()
    return EXIT_SIGNALLED - status if status < 0 else status


def _say_notes(line: str) -> None:
    """COMMAND has the terminal to itself: only what a person must see is said."""
    if line.startswith(NOTE):
        click.echo(f"trident: {line}", err=True)


@contextmanager
def _passing_signals_to(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Stop signals are for COMMAND while it runs. A Ctrl-C at our terminal it got already."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _in_foreground():
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Are we, and so COMMAND, who the terminal sends its Ctrl-C to?"""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
