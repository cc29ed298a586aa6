"""The state of limits, and the functions that decide over it in one call."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

# Rates are lost in a crash of the server, which does no harm. Half of each page is free, so that updates stay in it.
TABLES = """
CREATE UNLOGGED TABLE limit_rate (
    key text PRIMARY KEY,
    used_until bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE limit_counter (
    key text PRIMARY KEY,
    spent bigint NOT NULL,
    held bigint NOT NULL,
    peak bigint NOT NULL,
    ends_at bigint NOT NULL,
    first_expiry bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE limit_reservation (
    call_id text NOT NULL,
    key text NOT NULL,
    units bigint NOT NULL,
    expires_at bigint NOT NULL,
    is_live boolean NOT NULL,
    PRIMARY KEY (call_id, key)
);

CREATE INDEX limit_reservation_expiry ON limit_reservation (key, expires_at) WHERE is_live;
"""

TIME = """
CREATE FUNCTION limit_time() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;
"""

# Gives back what has expired of a locked counter, and returns what it holds then.
EXPIRE = """
CREATE FUNCTION limit_expire(counter text, now_us bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    released bigint;
    left_held bigint;
BEGIN
    WITH gone AS (
        UPDATE limit_reservation SET is_live = false
        WHERE key = counter AND is_live AND expires_at <= now_us
        RETURNING units
    )
    SELECT coalesce(sum(units), 0) INTO released FROM gone;
    UPDATE limit_counter SET
        held = held - released,
        first_expiry = coalesce(
            (SELECT min(expires_at) FROM limit_reservation WHERE key = counter AND is_live), 4611686018427387904
        )
    WHERE key = counter
    RETURNING held INTO left_held;
    RETURN left_held;
END $$;
"""

# Every caller names rates before counters, each in the order of their keys, so that no two wait for each other.
# Flags of a rate: 1 it is enforced, 2 it is settled. Flags of a counter: 1 it is enforced, 2 it is a budget.
# Returns the time, and for each charge: 0 fits, 1 over, 2 cold, 3 stale; what is used, held, and the peak.
ADMIT = """
CREATE FUNCTION limit_admit(
    call text, lease bigint,
    rates text[], costs bigint[], tolerances bigint[], rate_flags int[],
    counters text[], amounts_taken bigint[], amounts bigint[], starts bigint[], ends bigint[], counter_flags int[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    rate_count CONSTANT int := cardinality(rates);
    counter_count CONSTANT int := cardinality(counters);
    now_us bigint;
    goes_on boolean := true;
    state bigint;
    used bigint;
    until bigint[] := '{}';
    spent bigint[] := '{}';
    held bigint[] := '{}';
    peak bigint[] := '{}';
    expiry bigint[] := '{}';
    row record;
    readings bigint[] := '{}';
    states bigint[] := '{}';
BEGIN
    FOR i IN 1..rate_count LOOP
        LOOP
            SELECT r.used_until INTO used FROM limit_rate r WHERE r.key = rates[i] FOR UPDATE;
            EXIT WHEN found;
            INSERT INTO limit_rate VALUES (rates[i], 0) ON CONFLICT DO NOTHING;
        END LOOP;
        until := until || used;
    END LOOP;
    FOR i IN 1..counter_count LOOP
        LOOP
            SELECT c.spent, c.held, c.peak, c.first_expiry INTO row
                FROM limit_counter c WHERE c.key = counters[i] FOR UPDATE;
            EXIT WHEN found OR counter_flags[i] & 2 = 2;
            INSERT INTO limit_counter VALUES (counters[i], 0, 0, 0, 0, 4611686018427387904) ON CONFLICT DO NOTHING;
        END LOOP;
        spent := spent || row.spent;
        held := held || row.held;
        peak := peak || row.peak;
        expiry := expiry || row.first_expiry;
    END LOOP;

    -- Not before all locks are held: others may have been waited for.
    now_us := limit_time();
    FOR i IN 1..rate_count LOOP
        until[i] := greatest(until[i], now_us);
        state := (until[i] + costs[i] - tolerances[i] > now_us)::int;
        goes_on := goes_on AND (state = 0 OR rate_flags[i] & 1 = 0);
        states := states || state;
        readings := readings || ARRAY[state, until[i], 0, 0];
    END LOOP;
    FOR i IN 1..counter_count LOOP
        IF now_us < starts[i] OR now_us >= ends[i] THEN
            goes_on := false;
            readings := readings || ARRAY[3::bigint, 0, 0, 0];
        ELSIF spent[i] IS NULL THEN
            goes_on := false;
            readings := readings || ARRAY[2::bigint, 0, 0, 0];
        ELSE
            IF expiry[i] <= now_us THEN
                held[i] := limit_expire(counters[i], now_us);
            END IF;
            state := (spent[i] + held[i] + amounts_taken[i] > amounts[i])::int;
            goes_on := goes_on AND (state = 0 OR counter_flags[i] & 1 = 0);
            readings := readings || ARRAY[state, spent[i], held[i], peak[i]];
        END IF;
    END LOOP;
    IF NOT goes_on THEN
        RETURN now_us || readings;
    END IF;

    FOR i IN 1..rate_count LOOP
        IF states[i] = 0 THEN
            UPDATE limit_rate r SET used_until = until[i] + costs[i] WHERE r.key = rates[i];
        END IF;
    END LOOP;
    FOR i IN 1..counter_count LOOP
        UPDATE limit_counter c SET
            held = c.held + amounts_taken[i],
            peak = greatest(c.peak, c.spent + c.held + amounts_taken[i]),
            first_expiry = least(c.first_expiry, now_us + lease)
        WHERE c.key = counters[i];
    END LOOP;
    INSERT INTO limit_reservation
        SELECT call, t.key, 0, now_us + lease, false FROM unnest(rates, rate_flags) AS t(key, flags)
            WHERE t.flags & 2 = 2
        UNION ALL
        SELECT call, t.key, t.units, now_us + lease, true FROM unnest(counters, amounts_taken) AS t(key, units);
    RETURN now_us || readings;
END $$;
"""

SETTLE = """
CREATE FUNCTION limit_settle(
    call text, was_admitted boolean, rates text[], moves bigint[], counters text[], amounts_spent bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now_us bigint;
    keys text[];
    released bigint[];
BEGIN
    FOR i IN 1..cardinality(rates) LOOP
        PERFORM 1 FROM limit_rate r WHERE r.key = rates[i] FOR UPDATE;
    END LOOP;
    FOR i IN 1..cardinality(counters) LOOP
        PERFORM 1 FROM limit_counter c WHERE c.key = counters[i] FOR UPDATE;
    END LOOP;
    now_us := limit_time();
    IF NOT was_admitted THEN
        INSERT INTO limit_reservation VALUES (call, '', 0, now_us, false) ON CONFLICT DO NOTHING;
        IF NOT found THEN
            RETURN;
        END IF;
    END IF;
    WITH gone AS (
        DELETE FROM limit_reservation r WHERE r.call_id = call AND r.key <> '' RETURNING r.key, r.units, r.is_live
    )
    SELECT array_agg(key), array_agg(CASE WHEN is_live THEN units ELSE 0 END) INTO keys, released FROM gone;
    IF was_admitted AND keys IS NULL THEN
        RETURN;
    END IF;
    FOR i IN 1..cardinality(rates) LOOP
        -- A rate that was used up to now only may have been purged meanwhile.
        INSERT INTO limit_rate AS r (key, used_until) VALUES (rates[i], greatest(now_us, now_us + moves[i]))
            ON CONFLICT (key) DO UPDATE
            SET used_until = greatest(now_us, greatest(now_us, r.used_until) + moves[i]);
    END LOOP;
    FOR i IN 1..cardinality(counters) LOOP
        UPDATE limit_counter c SET
            spent = c.spent + amounts_spent[i],
            held = c.held - coalesce(released[array_position(keys, counters[i])], 0)
        WHERE c.key = counters[i];
    END LOOP;
END $$;
"""

# A row that another transaction has locked is being settled or has expired.
RENEW = """
CREATE FUNCTION limit_renew(calls text[], lease bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now_us CONSTANT bigint := limit_time();
BEGIN
    UPDATE limit_reservation r SET expires_at = now_us + lease
    FROM (
        SELECT l.call_id, l.key FROM limit_reservation l
        WHERE l.call_id = ANY(calls) AND l.is_live AND l.expires_at > now_us
        FOR UPDATE SKIP LOCKED
    ) AS live
    WHERE r.call_id = live.call_id AND r.key = live.key;
END $$;
"""

PURGE = """
CREATE FUNCTION limit_purge(kept bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now_us CONSTANT bigint := limit_time();
    counter text;
BEGIN
    FOR counter IN SELECT key FROM limit_counter WHERE first_expiry <= now_us FOR UPDATE SKIP LOCKED LOOP
        PERFORM limit_expire(counter, now_us);
    END LOOP;
    DELETE FROM limit_rate WHERE key IN (
        SELECT key FROM limit_rate WHERE used_until < now_us FOR UPDATE SKIP LOCKED
    );
    DELETE FROM limit_counter WHERE key IN (
        SELECT key FROM limit_counter
        WHERE (ends_at > 0 AND ends_at < now_us - kept) OR (ends_at = 0 AND held = 0)
        FOR UPDATE SKIP LOCKED
    );
    DELETE FROM limit_reservation WHERE (call_id, key) IN (
        SELECT call_id, key FROM limit_reservation WHERE NOT is_live AND expires_at < now_us - kept
        FOR UPDATE SKIP LOCKED
    );
END $$;
"""


def upgrade() -> None:
    for statements in (TABLES, TIME, EXPIRE, ADMIT, SETTLE, RENEW, PURGE):
        op.get_bind().exec_driver_sql(statements)
