"""Nobody but the owner makes temporary tables.

Postgres looks a name up among a session's temporary tables first, before `public`. Guards run as
whoever writes: with a temporary table named `operations` or `runs` of its own, the application's
role could have shown them a log that is not there. Trident needs no temporary table.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

REVOKE = """
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
"""


def upgrade() -> None:
    op.execute(REVOKE)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
