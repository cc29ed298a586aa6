"""Retention of the audit log: its oldest events can be deleted, in the transaction that has just recorded so."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

REFUSAL = "audit events are never changed"

# The newest event says up to which number events are deleted.
PURGED = (
    "(SELECT CASE WHEN action = 'audit.purge' THEN CAST(object_id AS BIGINT) ELSE 0 END"
    " FROM audit_events WHERE seq = (SELECT MAX(seq) FROM audit_events))"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_events_no_delete")
        op.execute(
            f"CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events WHEN OLD.seq > {PURGED}"
            f" BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
        return
    op.execute("DROP TRIGGER audit_events_no_change ON audit_events")
    op.execute(
        "CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR TRUNCATE ON audit_events"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
    )
    op.execute(
        "CREATE FUNCTION refuse_audit_delete() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF OLD.seq > {PURGED} THEN RAISE EXCEPTION '{REFUSAL}'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events"
        " FOR EACH ROW EXECUTE FUNCTION refuse_audit_delete()"
    )
