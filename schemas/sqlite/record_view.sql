-- One statement a batch: a temporary view whose trigger puts each row where it belongs.
-- A statement that runs by itself is its own transaction, so the whole batch is committed in one
-- call of the driver. Rows are replaced only upwards: an open exchange by an ended one, one that
-- was cut off by a whole one, one without its raw answer by one that has more of it.
CREATE TEMP VIEW record_view AS SELECT {view_columns};

CREATE TEMP TRIGGER record_view_insert INSTEAD OF INSERT ON record_view BEGIN
    INSERT INTO {responses} ({response_columns})
        SELECT {new_response_values} WHERE NEW.response_id_key IS NOT NULL
        ON CONFLICT (tenant_id, id) DO UPDATE SET
            created_at = excluded.created_at,
            model = excluded.model,
            response_object = excluded.response_object,
            input = excluded.input,
            messages = excluded.messages;
    INSERT INTO {exchanges} ({exchange_columns})
        VALUES ({new_exchange_values})
        ON CONFLICT (exchange_id) DO UPDATE SET {exchange_updates}
        WHERE {new_rank} > {old_rank}
            OR ({new_rank} = {old_rank}
                AND coalesce(length(excluded.raw_response), 0)
                    > coalesce(length(raw_response), 0));
END;
