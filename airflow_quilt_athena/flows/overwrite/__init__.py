"""An insert overwrite from looking to cleaning; the journal, the lease, the sweep, the rollback."""
