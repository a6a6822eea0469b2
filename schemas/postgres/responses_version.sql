-- One row: the version of the tables that are shared with praxis-proxy/ai.
CREATE TABLE {responses_version} (
    version BIGINT NOT NULL PRIMARY KEY
);
