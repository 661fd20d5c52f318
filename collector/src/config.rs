//! What a collector is told.

use crate::error::CollectorError;
use crate::format::Format;
use crate::limits;
use crate::tenants::Tenants;
use std::path::PathBuf;
use std::time::Duration;

/// Whether a file is followed or read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Follow the file as it grows and is rotated.
    Tail,
    /// Read the file, plain, gzip or Zstandard, to its end.
    Import,
}

/// What one collector reads, and how.
#[derive(Debug, Clone)]
pub struct CollectorConfig {
    /// The log file.
    pub path: PathBuf,
    /// Name of the log: part of event ids and of the stored position. Lines of one log keep their ids
    /// wherever they are read as long as it stays the same.
    pub source: String,
    /// Name of this node, unique in the deployment.
    pub node: String,
    /// Of which tenants lines may be.
    pub tenants: Tenants,
    /// What the lines look like.
    pub format: Format,
    /// Longest line, in bytes.
    pub line_bytes_max: usize,
    /// Most lines of a commit.
    pub batch_lines: usize,
    /// Most bytes of a commit.
    pub batch_bytes: usize,
    /// Whether prompts leave the node as text.
    pub keep_text: bool,
    /// Follow or read once.
    pub mode: Mode,
    /// Where a followed file that was never read before starts: at its beginning, or at its end.
    pub from_start: bool,
    /// How long a rotated file must have been quiet before it is left.
    pub rotation_grace: Duration,
    /// Where rotated files are moved to, when that is another directory than the log's own.
    pub rotated_dir: Option<PathBuf>,
    /// How long lines of a followed file wait for others before they are committed.
    pub linger: Duration,
}

impl CollectorConfig {
    /// The defaults: follow `path` from its beginning, as this host, for tenant `default`.
    pub fn new(path: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        let path = path.into();
        let source = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self {
            path,
            source,
            node: node.into(),
            tenants: Tenants::any("default"),
            format: Format::Auto,
            line_bytes_max: limits::LINE_BYTES_MAX_DEFAULT,
            batch_lines: limits::BATCH_LINES_DEFAULT,
            batch_bytes: limits::BATCH_BYTES_DEFAULT,
            keep_text: false,
            mode: Mode::Tail,
            from_start: true,
            rotation_grace: limits::ROTATION_GRACE_DEFAULT,
            rotated_dir: None,
            linger: limits::LINGER_DEFAULT,
        }
    }

    /// Key of the stored position.
    pub fn source_key(&self) -> String {
        format!("{}/{}", self.node, self.source)
    }

    /// Refuses what cannot work.
    pub fn check(&self) -> Result<(), CollectorError> {
        let fault = |setting, reason: String| Err(CollectorError::Config { setting, reason });
        if self.source.is_empty() {
            return fault("source", "must not be empty: name the log".into());
        }
        if self.node.is_empty() {
            return fault("node", "must not be empty: name this node".into());
        }
        self.tenants.check()?;
        if !(1..=limits::LINE_BYTES_MAX_CEILING).contains(&self.line_bytes_max) {
            return fault("line_bytes_max", format!("must be 1 to {}", limits::LINE_BYTES_MAX_CEILING));
        }
        if self.node.starts_with('!') {
            return fault("node", "must not begin with `!`: such keys are Weir's own".into());
        }
        if self.linger > limits::LINGER_CEILING {
            return fault("linger_ms", format!("must be 0 to {}", limits::LINGER_CEILING.as_millis()));
        }
        if self.batch_lines == 0 {
            return fault("batch_lines", "must be at least 1".into());
        }
        if self.batch_bytes == 0 {
            return fault("batch_bytes", "must be at least 1".into());
        }
        Ok(())
    }
}
