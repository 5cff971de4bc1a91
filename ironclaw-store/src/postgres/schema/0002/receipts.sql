-- Receipts expire: a user's oldest are found without reading all.
CREATE INDEX receipts_by_age ON ironclaw.receipts (owner_no, at);
