"""The command `trident`: COMMANDS is what it can do, loaded only when it is asked for."""

import sys
from importlib import import_module

import click

# Every command: where it is written, and the line that `trident --help` shows for it. It stands
# here so that `--help` imports nothing: the commands themselves pull in SQLAlchemy and Celery.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("cli.run:run", "Start the stack and leave it running, or run a command with it."),
    "demo": ("cli.demo:demo", "Post a small company's month and show what came out."),
    "token": ("cli.token:token", "Print an access token for the API."),
    "api-keys": ("cli.api_keys:api_keys", "Make, list, rotate and revoke API keys."),
    "keys": ("cli.keys:keys", "Rotate and list keys."),
    "permissions": ("cli.permissions:permissions", "Show which role may do what."),
    "accounts": ("cli.accounts:accounts", "Open accounts from a CSV file."),
    "import": ("cli.import_:import_", "Hand a file of operations to a ledger."),
    "balances": ("cli.balances:balances", "Show balances, now or at any date."),
    "statement": ("cli.statement:statement", "Show what was posted to an account."),
    "report": ("cli.report:report", "Show trial balance, balance sheet, income statement."),
    "reconcile": (
        "cli.reconcile:reconcile",
        "Match an account with the statements of a bank.",
    ),
    "operations": ("cli.operations:operations", "List or search the operations of a ledger."),
    "schedules": ("cli.schedules:schedules", "Show what happens later, and what came of it."),
    "approvals": ("cli.approvals:approvals", "Show what waits for approvals."),
    "status": ("cli.status:status", "Show how far each stage has come."),
    "verify": ("cli.verify:verify", "Check the audit chain, the balances and the postings."),
    "sweep": ("cli.sweep:sweep", "Ring once for every ledger that has work waiting."),
    "reindex": ("cli.reindex:reindex", "Make the index of the log anew."),
    "tenants": ("cli.tenants:tenants", "Create, settle, delete and restore tenants."),
    "people": ("cli.people:people", "Invite, list, disable and reset people."),
    "events": ("cli.events:events", "Show who did what beside the books."),
    "subjects": ("cli.subjects:subjects", "Export, restrict, erase what is held of a person."),
    "db": ("cli.db:db", "Look after the database."),
}

# What a shell expects from a command that was asked for something impossible (as click's own).
EXIT_USAGE = 2


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trident")
def trident() -> None:
    """Trident posts every financial operation exactly once to a double-entry ledger."""


def main() -> None:
    """Run `trident`; what is wrong with the settings or the stack is one message and status 2."""
    try:
        trident.main(prog_name="trident")
    except Exception as error:
        if not _is_explained(error):
            raise
        click.echo(f"trident: {error}", err=True)
        sys.exit(EXIT_USAGE)


def _is_explained(error: Exception) -> bool:
    # Imported here so that `trident --help` does not wait for them.
    from cli.stack.errors import StackError  # noqa: PLC0415
    from models.settings import SettingsError  # noqa: PLC0415

    return isinstance(error, SettingsError | StackError)


if __name__ == "__main__":
    main()
