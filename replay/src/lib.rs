//! Weir's history: the same stages folded again, as recorded or in lockstep.
