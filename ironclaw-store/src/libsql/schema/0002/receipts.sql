-- Receipts expire: the oldest are found without reading all.
CREATE INDEX receipts_by_age ON receipts (at);
