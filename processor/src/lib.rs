//! Weir's judgement: windows, detectors, fusion and the two stages, as pure functions.
