//! Weir's topics, stages and epochs, the log trait and its two backends.
