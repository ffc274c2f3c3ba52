-- Moves with every change of what anybody may do, in the transaction that makes it: a process that worked out a role at one stamp
-- knows it as long as the stamp is the same, and every statement brings the stamp along.
CREATE TABLE access_stamp (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    stamp     bigint NOT NULL
);
INSERT INTO access_stamp (stamp) VALUES (1);

CREATE FUNCTION move_access_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access_stamp SET stamp = stamp + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER move_access_stamp AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON role_assignments
    FOR EACH STATEMENT EXECUTE FUNCTION move_access_stamp();
CREATE TRIGGER move_access_stamp AFTER UPDATE OF disabled_at OR DELETE OR TRUNCATE ON principals
    FOR EACH STATEMENT EXECUTE FUNCTION move_access_stamp();
