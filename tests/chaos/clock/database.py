"""SQL for a `clock_timestamp()` that is off.

The app role's search_path leads past ours before it comes to pg_catalog. Defaults of columns were
bound to the real one when the tables were made, so `runs.at` goes on telling the true time.
"""

MAKE = """
CREATE SCHEMA skewed;
CREATE TABLE skewed.clock (ahead interval NOT NULL);
INSERT INTO skewed.clock VALUES ('0 s');
CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + (SELECT ahead FROM skewed.clock)';
GRANT USAGE ON SCHEMA skewed TO trident_app;
GRANT SELECT ON skewed.clock TO trident_app;
ALTER ROLE trident_app SET search_path = skewed, pg_catalog, public;
"""

SET = "UPDATE skewed.clock SET ahead = make_interval(secs => %s)"
