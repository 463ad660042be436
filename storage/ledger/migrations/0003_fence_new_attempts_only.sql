-- The fence is for the start of an attempt. A row of it also changes when an answer comes, which may
-- be after the lease that it was sent under has ended; an upsert fires the insert trigger then too.
CREATE OR REPLACE FUNCTION check_attempt() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF is_rebuild() THEN
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT FROM attempts WHERE client_order_id = NEW.client_order_id) THEN
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
