"""notify: tell those who wait that operations are final.

Postgres delivers the word to every API process when the run commits, so nobody hears of an outcome
that is not durable. A waiting request that misses it (its listener was away) asks by itself.
"""

from pipeline.stage import Claim, commit, mogrify

CHANNEL = "trident_final"

TELL = """
SELECT pg_notify(%(channel)s, %(word)s);
"""


def notify(work: Claim) -> None:
    """Announce `tenant:ledger:last`; record the run."""
    word = f"{work.ledger.tenant_id}:{work.ledger.ledger_id}:{work.last}"
    commit(work, [mogrify(work, TELL, channel=CHANNEL, word=word)])
