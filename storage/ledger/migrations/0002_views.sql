-- Read-only views for people and for `jts sql`: instants as timestamps, payloads as JSON.

CREATE VIEW v_events AS
SELECT seq, writer, position, stream, type, schema_version, event_id, correlation_id, causation_id,
       to_timestamp((ts_ns / 1000) / 1e6) AS recorded_at,
       convert_from(payload, 'UTF8')::jsonb AS payload,
       encode(hash, 'hex') AS hash
FROM events;

CREATE VIEW v_positions AS
SELECT broker, account, instance, instrument_id, currency, quantity, amount AS cost
FROM balances
WHERE ledger = 'position' AND (quantity <> 0 OR amount <> 0);

CREATE VIEW v_fills AS
SELECT fills.*, to_timestamp((ts_event_ns / 1000) / 1e6) AS filled_at
FROM fills;

-- What an account is made of; `difference` is 0, always.
CREATE VIEW v_accounts AS
SELECT broker, account, currency,
       sum(amount) FILTER (WHERE ledger = 'cash') AS cash,
       sum(amount) FILTER (WHERE ledger = 'position') AS positions_at_cost,
       sum(amount) FILTER (WHERE ledger = 'fees') AS fees,
       sum(amount) FILTER (WHERE ledger = 'tax') AS tax,
       -sum(amount) FILTER (WHERE ledger = 'realised') AS realised,
       -sum(amount) FILTER (WHERE ledger = 'capital') AS capital,
       sum(amount) AS difference
FROM balances
GROUP BY broker, account, currency;
