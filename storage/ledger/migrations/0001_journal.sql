-- The journal and its projections.
--
-- `events` is the truth: append-only, numbered without gaps, one hash chain per writer. All tables
-- below the line "projections" can be rebuilt from it; their constraints repeat what the program
-- promises, so that no program can break it. Times in ns are instance time, UTC.

CREATE TABLE journal_head (
    is_single BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_single),
    seq BIGINT NOT NULL DEFAULT 0,
    major_ms BIGINT NOT NULL DEFAULT 0
);
INSERT INTO journal_head DEFAULT VALUES;

CREATE TABLE writers (
    writer TEXT PRIMARY KEY,
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL
);

CREATE TABLE events (
    seq BIGINT PRIMARY KEY,
    writer TEXT NOT NULL,
    position BIGINT NOT NULL,
    stream TEXT NOT NULL,
    type TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    event_id TEXT NOT NULL UNIQUE,
    correlation_id TEXT NOT NULL,
    causation_id TEXT NOT NULL,
    ts_ns BIGINT NOT NULL,
    consumer TEXT,
    source TEXT,
    major BIGINT,
    minor BIGINT,
    payload BYTEA NOT NULL,
    prev_hash BYTEA NOT NULL CHECK (length(prev_hash) = 32),
    hash BYTEA NOT NULL CHECK (length(hash) = 32),
    UNIQUE (writer, position),
    UNIQUE (writer, prev_hash)
);
CREATE INDEX events_by_stream ON events (stream, seq);
CREATE INDEX events_by_correlation ON events (correlation_id, seq);

CREATE TABLE outbox (
    seq BIGINT PRIMARY KEY REFERENCES events (seq),
    major_ms BIGINT NOT NULL,
    topic TEXT NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    payload BYTEA NOT NULL,
    is_published BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX outbox_pending ON outbox (seq) WHERE NOT is_published;
CREATE INDEX outbox_by_topic ON outbox (topic, seq);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    token BIGINT NOT NULL CHECK (token > 0),
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE FUNCTION is_rebuild() RETURNS BOOLEAN LANGUAGE sql STABLE AS
    $$ SELECT coalesce(current_setting('jts.rebuild', TRUE), '') = 'on' $$;

CREATE FUNCTION refuse_change() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'JT001';
END $$;

CREATE FUNCTION refuse_change_unless_rebuild() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF is_rebuild() THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'JT001';
END $$;

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Projections ------------------------------------------------------------------------------------

CREATE TABLE strategies (
    id UUID PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    dsl_code TEXT NOT NULL,
    status VARCHAR(50) NOT NULL,
    created_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp((created_ns / 1000) / 1e6)) STORED,
    release TEXT NOT NULL,
    created_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL,
    last_seq BIGINT NOT NULL
);

-- The moves of an order's state that can be written, fills included.
CREATE TABLE order_edges (
    before VARCHAR(50) NOT NULL,
    after VARCHAR(50) NOT NULL,
    PRIMARY KEY (before, after)
);
INSERT INTO order_edges (before, after)
SELECT before, unnest(string_to_array(afters, ' ')) FROM (VALUES
    ('intent', 'sending denied expired'),
    ('sending', 'open rejected unknown absent cancelled partial filled'),
    ('unknown', 'open rejected absent cancelled partial filled'),
    ('absent', 'sending denied expired partial filled'),
    ('open', 'cancelling cancelled rejected expired partial filled'),
    ('partial', 'cancelling cancelled expired filled'),
    ('cancelling', 'open partial cancelled expired filled')
) AS edges (before, afters);

CREATE TABLE orders (
    id UUID PRIMARY KEY,
    strategy_id UUID,
    symbol VARCHAR(50) NOT NULL,
    side VARCHAR(10) NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity DECIMAL NOT NULL CHECK (quantity > 0),
    price DECIMAL CHECK (price >= 0),
    status VARCHAR(50) NOT NULL,
    broker VARCHAR(50) NOT NULL,
    created_at TIMESTAMPTZ GENERATED ALWAYS AS (to_timestamp((created_ns / 1000) / 1e6)) STORED,
    account TEXT NOT NULL,
    instance TEXT NOT NULL,
    instrument_id TEXT NOT NULL,
    venue TEXT NOT NULL,
    currency TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    release TEXT NOT NULL,
    decision_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    valid_until_ns BIGINT NOT NULL,
    created_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL,
    intent_seq BIGINT NOT NULL REFERENCES events (seq),
    last_seq BIGINT NOT NULL REFERENCES events (seq),
    filled DECIMAL NOT NULL,
    attempt INTEGER NOT NULL,
    client_order_id TEXT,
    venue_order_id TEXT,
    reason TEXT NOT NULL,
    CONSTRAINT filled_within_ordered CHECK (filled >= 0 AND filled <= quantity)
);
CREATE INDEX orders_open ON orders (intent_seq)
    WHERE status NOT IN ('filled', 'cancelled', 'rejected', 'denied', 'expired');
CREATE INDEX orders_by_venue_id ON orders (broker, account, venue_order_id);

CREATE FUNCTION check_order_change() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.filled < OLD.filled THEN
        RAISE EXCEPTION 'order %: filled fell from % to %', OLD.id, OLD.filled, NEW.filled
            USING ERRCODE = 'JT002';
    END IF;
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM order_edges WHERE before = OLD.status AND after = NEW.status
    ) THEN
        RAISE EXCEPTION 'order %: % cannot become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'JT002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER orders_change BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION check_order_change();

CREATE TABLE attempts (
    client_order_id TEXT PRIMARY KEY,
    order_id UUID NOT NULL REFERENCES orders (id),
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    payload_hash TEXT NOT NULL,
    lease TEXT NOT NULL,
    token BIGINT NOT NULL,
    status VARCHAR(50) NOT NULL,
    seq BIGINT NOT NULL REFERENCES events (seq),
    UNIQUE (order_id, attempt)
);
-- A new attempt starts only after all earlier ones are proven absent.
CREATE UNIQUE INDEX one_live_attempt ON attempts (order_id) WHERE status <> 'absent';

CREATE FUNCTION check_attempt() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF is_rebuild() THEN
        RETURN NEW;
    END IF;
    -- The lock makes a take-over of the lease wait until this attempt is committed.
    PERFORM FROM leases
        WHERE name = NEW.lease AND token = NEW.token AND expires_at > clock_timestamp()
        FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease % is not held under token %', NEW.lease, NEW.token
            USING ERRCODE = 'JT003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attempts_fenced BEFORE INSERT ON attempts
    FOR EACH ROW EXECUTE FUNCTION check_attempt();

CREATE TABLE reservations (
    order_id UUID PRIMARY KEY REFERENCES orders (id),
    broker TEXT NOT NULL,
    account TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount NUMERIC(38, 8) NOT NULL CHECK (amount >= 0),
    remaining NUMERIC(38, 8) NOT NULL CHECK (remaining >= 0)
);
CREATE INDEX reservations_held ON reservations (broker, account, asset) WHERE remaining > 0;

CREATE TABLE fills (
    venue TEXT NOT NULL,
    account TEXT NOT NULL,
    instrument_id TEXT NOT NULL,
    trade_id TEXT NOT NULL,
    broker TEXT NOT NULL,
    instance TEXT NOT NULL,
    order_id UUID NOT NULL REFERENCES orders (id),
    side VARCHAR(10) NOT NULL,
    quantity NUMERIC(38, 8) NOT NULL CHECK (quantity > 0),
    price NUMERIC(38, 8) NOT NULL CHECK (price >= 0),
    gross NUMERIC(38, 8) NOT NULL CHECK (gross >= 0),
    fee NUMERIC(38, 8) NOT NULL,
    tax NUMERIC(38, 8) NOT NULL,
    fee_quantity NUMERIC(38, 8) NOT NULL CHECK (fee_quantity >= 0),
    currency TEXT NOT NULL,
    ts_event_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL UNIQUE REFERENCES events (seq),
    PRIMARY KEY (venue, account, instrument_id, trade_id),
    CONSTRAINT whole_won CHECK (
        currency <> 'KRW' OR (gross = trunc(gross) AND fee = trunc(fee) AND tax = trunc(tax))
    )
);
CREATE INDEX fills_by_order ON fills (order_id, seq);
CREATE INDEX fills_by_trade ON fills (trade_id);
CREATE TRIGGER fills_append_only BEFORE UPDATE OR DELETE ON fills
    FOR EACH ROW EXECUTE FUNCTION refuse_change_unless_rebuild();

CREATE TABLE ledger_entries (
    seq BIGINT NOT NULL REFERENCES events (seq),
    line INTEGER NOT NULL,
    broker TEXT NOT NULL,
    account TEXT NOT NULL,
    instance TEXT NOT NULL,
    ledger TEXT NOT NULL
        CHECK (ledger IN ('cash', 'position', 'fees', 'tax', 'realised', 'capital')),
    instrument_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    debit NUMERIC(38, 8) NOT NULL CHECK (debit >= 0),
    credit NUMERIC(38, 8) NOT NULL CHECK (credit >= 0),
    quantity NUMERIC(38, 8) NOT NULL,
    PRIMARY KEY (seq, line),
    CHECK (debit = 0 OR credit = 0),
    CHECK ((ledger = 'position') = (instrument_id <> '')),
    CHECK (ledger = 'position' OR quantity = 0),
    CONSTRAINT whole_won
        CHECK (currency <> 'KRW' OR (debit = trunc(debit) AND credit = trunc(credit)))
);
CREATE INDEX ledger_by_account ON ledger_entries (broker, account, instance, seq);
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change_unless_rebuild();

CREATE FUNCTION check_balance() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    difference NUMERIC;
BEGIN
    SELECT sum(debit - credit) INTO difference FROM ledger_entries
        WHERE seq = NEW.seq AND currency = NEW.currency;
    IF difference <> 0 THEN
        RAISE EXCEPTION 'ledger transaction % is out of balance by % %',
            NEW.seq, difference, NEW.currency USING ERRCODE = 'JT004';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT OR UPDATE ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_balance();

CREATE TABLE balances (
    broker TEXT NOT NULL,
    account TEXT NOT NULL,
    instance TEXT NOT NULL,
    ledger TEXT NOT NULL,
    instrument_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount NUMERIC(38, 8) NOT NULL,
    quantity NUMERIC(38, 8) NOT NULL,
    PRIMARY KEY (broker, account, instance, ledger, instrument_id, currency)
);

CREATE TABLE consumed (
    consumer TEXT NOT NULL,
    source TEXT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    PRIMARY KEY (consumer, source)
);
