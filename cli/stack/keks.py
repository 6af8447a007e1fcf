"""The key-encryption keys of the stack: those that the environment names, or a file of our own."""

from collections.abc import Mapping

from cli.stack.files import write_private
from cli.stack.home import Home
from models import keks


def sources(environ: Mapping[str, str], home: Home) -> dict[str, str]:
    """The variable that says where they are; the file in the home is made if need be."""
    given = {name: environ[name] for name in keks.SOURCES if environ.get(name)}
    if given:
        return given
    if not home.keks.exists():
        write_private(home.keks, keks.new_entry() + "\n", durable=True)
    return {keks.FILE: str(home.keks)}
