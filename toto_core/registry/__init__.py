"""Model cards, the promotion ledger and promotion itself."""
