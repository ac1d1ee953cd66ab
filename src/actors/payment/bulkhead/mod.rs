//! The bulkhead: how many payments may be under way at once, and whether any may at all.
