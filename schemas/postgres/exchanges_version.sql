-- One row: the version of our own table.
CREATE TABLE {exchanges_version} (
    version BIGINT NOT NULL PRIMARY KEY
);
