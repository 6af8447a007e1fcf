"""What Postgres lets every role write outside of tables, and ours may not.

Large objects, messages in the write-ahead log, files of snapshots: no policy says whose they are,
no erasure reaches them, and they fill the disk. Nothing of Trident writes there.
"""

from sqlalchemy import Connection, text

FUNCTIONS = (
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_open",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "pg_export_snapshot",
    "pg_logical_emit_message",
)
_NAMES = ", ".join(f"'{name}'" for name in FUNCTIONS)
_OPEN = f"""
    SELECT oid::regprocedure AS one FROM pg_proc
     WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN ({_NAMES})
       AND has_function_privilege('public', oid, 'EXECUTE')
"""  # noqa: S608 - ours
# Functions of Postgres are its superuser's to take away; who is none changes nothing. The owner of
# the database keeps them: pg_dump asks for some.
SHUT = f"""
DO $$
DECLARE
    name text;
    owner text := (SELECT pg_get_userbyid(datdba) FROM pg_database
                    WHERE datname = current_database());
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR name IN {_OPEN.strip()} LOOP
            EXECUTE 'REVOKE EXECUTE ON FUNCTION ' || name || ' FROM PUBLIC';
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || name || ' TO ' || quote_ident(owner);
        END LOOP;
    END IF;
END $$
"""  # noqa: S608 - ours


def shut(connection: Connection) -> list[str]:
    """Take these functions from every role but the owner, for a superuser; otherwise the statement
    with which one does it. The connection is the owner's."""
    connection.exec_driver_sql(SHUT)
    left = sorted(connection.execute(text(_OPEN)).scalars())
    if not left:
        return []
    return [
        "Every role may write outside of tables, where no erasure reaches. Let a superuser run, in"
        f" this database: REVOKE EXECUTE ON FUNCTION {', '.join(left)} FROM PUBLIC"
    ]
