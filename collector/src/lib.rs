//! Weir's senses: log sources, formats, features and privacy at the edge.
