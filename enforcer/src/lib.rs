//! Weir's hands: audit chain, action journal and output files.
