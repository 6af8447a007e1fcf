"""What one API process holds between requests, and where a request finds it."""

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app
from sqlalchemy import Engine

from api.books import Books
from api.checked import Checked
from api.gateway.gate import Gate
from api.tenancy import Tenancy
from api.tokens import Tokens
from api.waiting import Listener
from api.writer import Ring, Writer

NAME = "trident"


@dataclass(frozen=True)
class State:
    """The writer, the listener, what is remembered, and who is told of new operations."""

    engine: Engine
    writer: Writer
    listener: Listener
    tokens: Tokens
    books: Books
    checked: Checked
    tenancy: Tenancy
    gate: Gate
    ring: Ring

    def stop(self) -> None:
        """End the threads; requests are refused from now on."""
        self.writer.stop()
        self.listener.stop()
        self.tokens.stop()
        self.gate.stop()


def attach(app: Flask, held: State) -> None:
    """Let the app's requests find it."""
    app.extensions[NAME] = held


def state() -> State:
    """What the process that answers this request holds."""
    return cast(State, current_app.extensions[NAME])
