"""notify: tell those who wait that operations are final.

Postgres delivers the word to every API process when the run commits, so nobody hears of an outcome
that is not durable. A waiting request that misses it (its listener was away) asks by itself.
"""

from pipeline import arrays
from pipeline.stage import Claim, commit, mogrify

CHANNEL = "trident_final"

TELL = """
SELECT pg_notify(%(channel)s, word) FROM unnest(%(words)s::text[]) word;
"""


def notify(work: Claim) -> None:
    """Tell those who wait; record the runs."""
    commit(work, [tell(work)])


def tell(work: Claim) -> str:
    """The statement that announces `tenant:ledger:last` for each ledger."""
    words = [f"{work.tenant_id}:{span.ledger_id}:{span.last}" for span in work.spans]
    return mogrify(work, TELL, channel=CHANNEL, words=arrays.words(words))
