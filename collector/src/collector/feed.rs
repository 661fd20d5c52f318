//! The two ways to read a file, as one.

use crate::config::{CollectorConfig, Mode};
use crate::error::CollectorError;
use crate::limits::HEAD_BYTES_MAX;
use crate::tail::{
    Content, FilePosition, Follow, Import, Line, Look, PrintKey, SourceEvent, SourcePosition, Tail,
};
use std::io::Read as _;

pub(super) enum Feed {
    Tail(Box<Tail>),
    Import { import: Box<Import>, is_done: bool },
}

impl Feed {
    pub(super) fn open(
        config: &CollectorConfig,
        saved: Option<SourcePosition>,
        key: PrintKey,
        others: &[FilePosition],
    ) -> Result<Self, CollectorError> {
        let (path, line_bytes_max) = (config.path.clone(), config.line_bytes_max);
        match config.mode {
            Mode::Tail => {
                let follow = Follow {
                    path,
                    rotated_dir: config.rotated_dir.clone(),
                    from_start: config.from_start,
                    line_bytes_max,
                    grace: config.rotation_grace,
                };
                Ok(Self::Tail(Box::new(Tail::new(follow, saved, key, others))))
            }
            Mode::Import => match Import::open(&path, saved, line_bytes_max, key, others) {
                Ok(import) => Ok(Self::Import { import: Box::new(import), is_done: false }),
                Err(reason) => Err(CollectorError::Read { path, offset: 0, reason }),
            },
        }
    }

    pub(super) fn next_line(&mut self) -> Option<Line<'_>> {
        match self {
            Self::Tail(tail) => tail.next_line(),
            Self::Import { import, .. } => import.next_line(),
        }
    }

    pub(super) fn position(&self) -> SourcePosition {
        match self {
            Self::Tail(tail) => tail.position(),
            Self::Import { import, .. } => import.position(),
        }
    }

    /// The position before the last line that was given, as long as nothing was read after it.
    pub(super) fn position_before_last(&self) -> SourcePosition {
        let mut position = self.position();
        let (offset, prints) = match self {
            Self::Tail(tail) => tail.before_last(),
            Self::Import { import, .. } => import.before_last(),
        };
        if let Some(reading) = &mut position.reading {
            (reading.offset, reading.prints) = (offset, prints);
        }
        position
    }

    /// The first line of the file that is being read, where reading goes on behind it. It is asked for the
    /// names of columns alone: should its name be another file's by now, that one has the same columns.
    pub(super) fn head(&self) -> Option<Vec<u8>> {
        let reading = self.position().reading.filter(|reading| reading.offset > 0)?;
        let mut head = Vec::new();
        let stream = Content::open(&reading.path).and_then(Content::stream).ok()?;
        // Of a file that is damaged what comes before counts.
        let _ = stream.take(HEAD_BYTES_MAX as u64).read_to_end(&mut head);
        let end = memchr::memchr(b'\n', &head)?;
        head.truncate(end);
        Some(head)
    }

    pub(super) fn read_of(&self) -> Option<(u64, u64)> {
        match self {
            Self::Tail(_) => None,
            Self::Import { import, .. } => Some(import.read_of()),
        }
    }

    pub(super) fn take_events(&mut self) -> Vec<SourceEvent> {
        match self {
            Self::Tail(tail) => tail.take_events(),
            Self::Import { import, .. } => import.take_events(),
        }
    }

    /// Whether nothing will ever come any more.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Import { is_done: true, .. })
    }

    pub(super) fn look(&mut self, config: &CollectorConfig) -> Result<Look, CollectorError> {
        match self {
            Self::Tail(tail) => Ok(tail.look()),
            Self::Import { import, is_done } => {
                let look = import.look().map_err(|reason| CollectorError::Read {
                    path: config.path.clone(),
                    offset: import.offset(),
                    reason,
                })?;
                *is_done |= look == Look::End;
                Ok(look)
            }
        }
    }
}
