"""Where this checkout lies: the Procfile's commands are run from here."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
