//! Follows a log as it grows, is renamed away, is truncated, or is not there yet.
//!
//! What was read of each file is known by its [prints](super::prints), so a file is found again under any
//! name, as a copy or compressed, and nothing hangs on what a tool calls it. When the file that is read gives
//! nothing more and is not at the path any more, the next one is, in this order: what was being read before;
//! one that was left and has grown since; the oldest one of the log's names (`tail/family.rs`) that was never
//! read; the path's own.

use super::content::{Content, is_made_after, modified_ns, window_at};
use super::family::{self, Entry};
use super::position::{FileId, FilePosition, SourcePosition};
use super::prints::{Likeness, PrintKey, Prints};
use super::{Line, LineReader, Look, SourceEvent};
use crate::limits::{DIRECTORY_ENTRIES_MAX, LEFT_HANDLES_MAX, SEARCH_INTERVAL};
use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use weir_topology::telemetry::{LossCause, SourceChange};

/// What is followed, and how.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The log.
    pub path: PathBuf,
    /// Another directory that rotated files are moved to.
    pub rotated_dir: Option<PathBuf>,
    /// Whether a log that was never read before is read from its beginning, or from its end.
    pub from_start: bool,
    /// Longest line, in bytes.
    pub line_bytes_max: usize,
    /// How long a rotated file must have been quiet before it is left, and one that is not found looked for.
    pub grace: Duration,
}

/// Follows one path.
pub struct Tail {
    follow: Follow,
    key: PrintKey,
    lines: LineReader,
    open: Option<Open>,
    /// What is known but for the open file.
    position: SourcePosition,
    /// The files that were left last, still open: their writers may not have noticed yet.
    handles: Vec<(FileId, File)>,
    /// Compressed files that hold nothing new, and losses that were told, by file and length.
    settled: HashSet<(FileId, u64, i64)>,
    /// Compressed files that could not be read to compare them: they may be being written.
    unsure: HashSet<(FileId, u64, i64)>,
    unsure_since: Option<Instant>,
    /// Since when the file that was being read is nowhere.
    missing_since: Option<Instant>,
    /// Since when the compressed file that is being read ends too early.
    damaged_since: Option<Instant>,
    /// When other files were searched last.
    searched: Instant,
    /// Something was read before.
    has_begun: bool,
    events: Vec<SourceEvent>,
}

struct Open {
    bytes: Box<dyn Read + Send>,
    /// The file itself, where it is not compressed.
    file: Option<File>,
    id: FileId,
    path: PathBuf,
    /// When it was last written to, as far as is known.
    modified_ns: i64,
    /// Since when it is known to be rotated away and to give nothing.
    quiet_since: Option<Instant>,
    /// It is the copy of this file, which was truncated: what was written in between is in neither.
    copy_of: Option<PathBuf>,
}

impl Tail {
    /// Follows a log from `saved`; without one from its beginning, or its end.
    ///
    /// `others` are the files of other sources: what was read of them is not read again.
    pub fn new(
        follow: Follow,
        saved: Option<SourcePosition>,
        key: PrintKey,
        others: &[FilePosition],
    ) -> Self {
        let lines = LineReader::new(follow.line_bytes_max, key.clone());
        let is_new = saved.is_none();
        let mut tail = Self {
            follow,
            key,
            lines,
            open: None,
            position: saved.unwrap_or_default(),
            handles: Vec::new(),
            settled: HashSet::new(),
            unsure: HashSet::new(),
            unsure_since: None,
            missing_since: None,
            damaged_since: None,
            searched: Instant::now(),
            has_begun: !is_new,
            events: Vec::new(),
        };
        if is_new {
            tail.begin(others);
        }
        tail
    }

    /// What is there before anything was read: older files are not wanted, but what is written to them from
    /// now on is. A log that cannot be opened now counts as new when it can: all of it is wanted.
    fn begin(&mut self, others: &[FilePosition]) {
        let end_of = |path: &Path, key: &PrintKey| {
            let content = Content::open(path).ok().filter(|content| !content.is_packed())?;
            content.position_at(key, content.metadata.len()).ok()
        };
        let near = self.near();
        let older = near.iter().filter(|entry| entry.is_generation);
        for entry in older {
            // Compressed ones are known by their time alone.
            self.position.since_ns = self.position.since_ns.max(entry.modified_ns() + 1);
            if let Some(position) = end_of(&entry.path, &self.key) {
                self.position.leave(position);
            }
        }
        if !self.follow.from_start {
            self.position.reading = self.end_of_last_line().ok();
        } else if let Ok(content) = Content::open(&self.follow.path)
            && let Ok(Some(known)) = content.most_like(&self.key, others)
        {
            let lines = Content::lines_before(&self.follow.path, known.offset).unwrap_or(0);
            self.events.push(SourceEvent::Known { file: self.follow.path.clone(), lines });
            self.position.reading =
                Some(FilePosition { id: content.id(), path: content.path.clone(), ..known.clone() });
        }
        self.has_begun = self.position.reading.is_some();
    }

    /// The next line that was read; none when a [`Self::look`] is needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        self.lines.next_line()
    }

    /// Offset before the last line that was given, and what the file left up to there; as long as nothing was
    /// read after it.
    pub fn before_last(&self) -> (u64, Prints) {
        self.lines.before_last()
    }

    /// Where to go on after a crash.
    pub fn position(&self) -> SourcePosition {
        let mut position = self.position.clone();
        if let Some(open) = &self.open {
            position.reading = Some(self.reading(open));
        }
        position
    }

    fn reading(&self, open: &Open) -> FilePosition {
        FilePosition {
            id: open.id,
            offset: self.lines.position(),
            prints: self.lines.prints(),
            modified_ns: open.modified_ns,
            path: open.path.clone(),
        }
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<SourceEvent> {
        std::mem::take(&mut self.events)
    }

    /// Looks for more bytes, or another file, without waiting. All lines must have been taken.
    pub fn look(&mut self) -> Look {
        let looked = match self.open.take() {
            None => self.choose(),
            Some(open) => {
                // Whatever fails, the next look begins where the last line ended.
                let reading = self.reading(&open);
                let looked = self.read(open);
                let has_left = self.position.left.last().is_some_and(|left| left.id == reading.id);
                if looked.is_err() && self.position.reading.is_none() && !has_left {
                    self.position.reading = Some(reading);
                }
                looked
            }
        };
        looked.unwrap_or_else(|error| Look::Unavailable(format!("{}: {error}", self.follow.path.display())))
    }

    fn read(&mut self, mut open: Open) -> io::Result<Look> {
        let read = match self.lines.fill(&mut *open.bytes) {
            Err(error) if open.file.is_none() => return self.damaged(open, error),
            read => read?,
        };
        if self.is_truncated(&mut open)? {
            return self.after_truncation(open);
        }
        if read > 0 {
            open.quiet_since = None;
            self.open = Some(open);
            return Ok(Look::Read);
        }
        if fs::metadata(&self.follow.path).is_ok_and(|metadata| FileId::of(&metadata) == open.id) {
            let is_due = self.unsure_since.is_some_and(|since| since.elapsed() >= self.follow.grace)
                || self.searched.elapsed() >= SEARCH_INTERVAL;
            if self.has_left_grown() || is_due {
                self.unsure_since = None;
                self.leave(&open);
                return self.choose();
            }
            self.open = Some(open);
            return Ok(Look::End);
        }
        if open.file.is_some() {
            let since = *open.quiet_since.get_or_insert_with(Instant::now);
            if since.elapsed() < self.follow.grace {
                self.open = Some(open);
                return Ok(Look::Leaving);
            }
        }
        if self.lines.has_rest() {
            // Nobody will finish the last line any more.
            self.lines.finish();
            self.open = Some(open);
            return Ok(Look::Read);
        }
        self.finish(open)
    }

    /// Leaves a file that was read to its end, for whatever is next.
    fn finish(&mut self, mut open: Open) -> io::Result<Look> {
        if let Some(of) = open.copy_of.take() {
            self.lost(LossCause::CopyAndTruncate, &of, self.lines.position(), None);
        }
        self.leave(&open);
        match self.choose() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The old file is kept until there is a new one: its writer may not have moved on either.
                self.position.left.pop();
                self.open = Some(open);
                Ok(Look::End)
            }
            looked => {
                if let Some(file) = open.file.take() {
                    self.handles.push((open.id, file));
                    let more = self.handles.len().saturating_sub(LEFT_HANDLES_MAX);
                    self.handles.drain(..more);
                }
                self.changed(SourceChange::Rotated, &open.path);
                looked
            }
        }
    }

    /// Gives a compressed file that ends too early, or in the wrong way, a moment: it may be being written.
    fn damaged(&mut self, open: Open, error: io::Error) -> io::Result<Look> {
        let since = *self.damaged_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.follow.grace {
            return Err(error);
        }
        self.lost(LossCause::Unreadable, &open.path, self.lines.position(), None);
        if let Ok(metadata) = fs::metadata(&open.path) {
            self.settle((open.id, metadata.len(), modified_ns(&metadata)));
        }
        self.leave(&open);
        self.choose()
    }

    fn leave(&mut self, open: &Open) {
        let position = self.reading(open);
        self.position.leave(position);
        self.damaged_since = None;
    }

    fn settle(&mut self, file: (FileId, u64, i64)) {
        if self.settled.len() >= DIRECTORY_ENTRIES_MAX {
            self.settled.clear();
        }
        self.settled.insert(file);
    }

    /// Whether a file that was left lately has more to read.
    fn has_left_grown(&mut self) -> bool {
        let mut has_grown = false;
        for (id, file) in std::mem::take(&mut self.handles) {
            let left = self.position.left.iter().rev().find(|left| left.id == id);
            let (Some(left), Ok(metadata)) = (left, file.metadata()) else { continue };
            let (path, from, to) = (left.path.clone(), left.offset, metadata.len());
            if metadata.nlink() > 0 {
                has_grown |= to > from;
                self.handles.push((id, file));
            } else if to > from {
                // It cannot be opened any more; without the handle its space is given back.
                self.lost(LossCause::Gone, &path, from, Some(to));
            }
        }
        has_grown
    }

    /// Whether the file is shorter than what was read of it, or has other bytes before what was read last.
    fn is_truncated(&self, open: &mut Open) -> io::Result<bool> {
        let Some(file) = &open.file else { return Ok(false) };
        let metadata = file.metadata()?;
        let (offset, before) = self.lines.before_fill();
        if metadata.len() < self.lines.read_offset() || window_at(file, offset)? != before {
            return Ok(true);
        }
        open.modified_ns = modified_ns(&metadata);
        Ok(false)
    }

    fn after_truncation(&mut self, open: Open) -> io::Result<Look> {
        self.changed(SourceChange::Truncated, &open.path);
        // Only a copy can be the file that was.
        let reading = self.reading(&open);
        self.position.reading = Some(FilePosition { id: FileId::default(), ..reading });
        drop(open);
        self.choose()
    }

    /// Opens the file that is to be read next.
    fn choose(&mut self) -> io::Result<Look> {
        let near = self.near();
        let current = Content::open(&self.follow.path);
        let reading = self.position.reading.clone().filter(|reading| {
            // Nothing was read of it, so its number may be another file's by now: it counts as never read.
            let is_at_path = current.as_ref().is_ok_and(|it| it.id() == reading.id);
            reading.offset > 0 || is_at_path || !near.iter().any(|entry| entry.id() == reading.id)
        });
        self.position.reading.clone_from(&reading);
        if let Some(reading) = reading {
            match self.find(&near, current.as_ref().ok(), &reading)? {
                // It may be read on at any time: what is older goes first.
                Some((content, None)) if current.as_ref().is_ok_and(|it| it.id() == content.id()) => {
                    self.position.leave(reading);
                    self.position.reading = None;
                    self.has_begun = true;
                }
                Some((content, copy_of)) => return self.start(content, Some(reading), copy_of),
                None => {
                    // Without a file at the path, it may be the whole directory that is not there.
                    if let Err(error) = current {
                        return Err(error);
                    }
                    let since = *self.missing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() < self.follow.grace {
                        return Ok(Look::Leaving);
                    }
                    if reading.offset == 0 && self.is_kept_packed(&near, &reading) {
                        self.position.reading = None;
                        self.missing_since = None;
                    } else {
                        self.give_up(&reading, current.as_ref().ok());
                    }
                }
            }
        }
        let near = if self.has_begun { near } else { Vec::new() };
        for entry in &near {
            if let Some(index) = self.grown(entry) {
                let left = self.position.left.remove(index);
                return self.start(Content::open(&entry.path)?, Some(left), None);
            }
        }
        self.searched = Instant::now();
        let since_ns = self.position.since_ns;
        for entry in near.iter().filter(|entry| entry.is_generation && entry.modified_ns() >= since_ns) {
            if let Some((content, from)) = self.unread(entry, &near, current.as_ref().ok())? {
                // The file at the path was there before and was cut since: this one can only be a copy of
                // what it held.
                let copy_of = match &current {
                    Ok(it) if self.was_cut(it, from.as_ref())? => Some(it.path.clone()),
                    _ => None,
                };
                return self.start(content, from, copy_of);
            }
        }
        let current = current?;
        let left = self.position.left.iter().rposition(|left| left.id == current.id());
        if let Some(index) = left
            && current.likeness(&self.key, &self.position.left[index])? == Likeness::Same
        {
            let left = self.position.left.remove(index);
            return self.start(current, Some(left), None);
        }
        if !self.has_begun {
            self.changed(SourceChange::Appeared, &current.path.clone());
        }
        self.start(current, None, None)
    }

    /// The file of a position: itself under whatever name, or else a copy of it, which may be compressed. A
    /// copy of a file that was truncated comes with the name of that one.
    fn find(
        &self,
        near: &[Entry],
        current: Option<&Content>,
        position: &FilePosition,
    ) -> io::Result<Option<(Content, Option<PathBuf>)>> {
        let own = self.follow.path.as_path();
        let current_id = current.map(Content::id);
        let same = near.iter().filter(|entry| entry.id() == position.id).map(|entry| entry.path.as_path());
        let at_path = (current_id == Some(position.id)).then_some(own);
        for path in at_path.into_iter().chain(same) {
            if let Some(content) = self.same(path, position)
                && !content.is_packed()
            {
                return Ok(Some((content, None)));
            }
        }
        if position.offset == 0 {
            return Ok(None);
        }
        // Itself it is not any more, where it is still there. A compressed file that is read on is itself:
        // nobody cuts it.
        let is_plain = |entry: &&Entry| Content::open(&entry.path).is_ok_and(|content| !content.is_packed());
        let was_truncated = position.id == FileId::default()
            || current.is_some_and(|current| is_file_of(&current.metadata, position))
            || near
                .iter()
                .filter(|entry| is_file_of(&entry.metadata, position))
                .any(|entry| is_plain(&entry));
        let copy_of = was_truncated.then(|| own.to_owned());
        let names = near.iter().filter(|entry| entry.is_generation);
        let others = near.iter().filter(|entry| !entry.is_generation);
        for entry in names.chain(others).filter(|entry| !self.is_left(entry, position.offset)) {
            // Where only a head that all files have in common was read, it may be any of them; one that is
            // more like another is that one.
            if let Some(content) = self.same(&entry.path, position)
                && !self.is_cut_copy(&content, entry)?
                && content
                    .most_like(&self.key, &self.position.left)?
                    .is_none_or(|left| left.offset <= position.offset)
            {
                return Ok(Some((content, copy_of)));
            }
        }
        if let Some(content) = self.same(own, position) {
            return Ok(Some((content, copy_of)));
        }
        Ok(None)
    }

    /// Whether the file at the path was left and was cut since, where a file that was never read, or from
    /// here on, is found: it is a copy of that one, or that one is not as it was.
    fn was_cut(&self, current: &Content, from: Option<&FilePosition>) -> io::Result<bool> {
        for left in self.position.left.iter().filter(|left| is_file_of(&current.metadata, left)) {
            let is_cut = match from {
                Some(from) => from.id == left.id,
                None => current.likeness(&self.key, left)? != Likeness::Same,
            };
            if is_cut {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a file of which nothing was read, and which is nowhere, is still there as what a tool that
    /// compresses made of it. It cannot be known by its bytes; but one of the log's files that was written to
    /// since was never read, and tools delete the oldest first: while one that was read before it is there,
    /// so is it.
    fn is_kept_packed(&self, near: &[Entry], reading: &FilePosition) -> bool {
        let (mut has_read, mut has_unread) = (false, false);
        for entry in near.iter().filter(|entry| entry.is_generation) {
            let Ok(content) = Content::open(&entry.path) else { continue };
            match content.most_like(&self.key, &self.position.left) {
                Ok(Some(_)) => has_read = true,
                // What cannot be read yet is still being compressed.
                Ok(None) | Err(_) => has_unread |= entry.modified_ns() >= reading.modified_ns,
            }
        }
        has_read && has_unread
    }

    /// Whether this is a file that was left, and not another to which the file system gave its number. One of
    /// which less was read than `offset` is known by less than what is looked for: a head that files have in
    /// common may be all.
    fn is_left(&self, entry: &Entry, offset: u64) -> bool {
        let left = self.position.left.iter().filter(|left| left.offset == 0 || left.offset >= offset);
        let is_it = |left: &&FilePosition| match left.offset {
            0 => left.modified_ns == entry.modified_ns(),
            _ => self.same(&entry.path, left).is_some(),
        };
        left.filter(|left| left.id == entry.id()).any(|left| is_it(&left))
    }

    fn same(&self, path: &Path, position: &FilePosition) -> Option<Content> {
        let content = Content::open(path).ok()?;
        (content.likeness(&self.key, position).ok()? == Likeness::Same).then_some(content)
    }

    /// Tells that the rest of a file cannot be read any more.
    fn give_up(&mut self, reading: &FilePosition, current: Option<&Content>) {
        let was_truncated = reading.id == FileId::default();
        let is_truncated = current.is_some_and(|current| is_file_of(&current.metadata, reading));
        let path = if reading.path.as_os_str().is_empty() { &self.follow.path } else { &reading.path };
        let path = path.clone();
        if is_truncated {
            self.changed(SourceChange::Truncated, &path);
        } else if !was_truncated {
            self.changed(SourceChange::Replaced, &path);
        }
        let cause = if was_truncated || is_truncated { LossCause::Truncated } else { LossCause::Gone };
        self.lost(cause, &path, reading.offset, None);
        // A copy of it that is shorter than what was read holds nothing new.
        let known = FilePosition { id: FileId::default(), ..reading.clone() };
        self.position.leave(known);
        self.position.reading = None;
        self.missing_since = None;
    }

    /// Which of the files that were left this is, if it has grown since.
    fn grown(&mut self, entry: &Entry) -> Option<usize> {
        let index = self.position.left.iter().rposition(|left| left.id == entry.id())?;
        let left = &self.position.left[index];
        if left.offset == 0 {
            // Nothing was read that it could be known by: it was empty, and if it is not, it was never read.
            let is_empty = match family::is_packed(&entry.path) {
                true => left.modified_ns == entry.modified_ns(),
                false => entry.metadata.len() == 0,
            };
            if !is_empty {
                self.position.left[index].id = FileId::default();
            }
            return None;
        }
        if self
            .same(&entry.path, left)
            .is_none_or(|content| content.is_packed() != family::is_packed(&left.path))
        {
            // The file system gave its number to another file.
            self.position.left[index].id = FileId::default();
            return None;
        }
        (!family::is_packed(&left.path) && entry.metadata.len() > left.offset).then_some(index)
    }

    /// A file of the log that was never read, or not to its end, and where it goes on.
    fn unread(
        &mut self,
        entry: &Entry,
        near: &[Entry],
        current: Option<&Content>,
    ) -> io::Result<Option<(Content, Option<FilePosition>)>> {
        let settled = (entry.id(), entry.metadata.len(), entry.modified_ns());
        // Two files may well have been written to in the same tick; one that is still there was not packed.
        let is_packed_of = |left: &FilePosition| {
            family::is_packed(&entry.path)
                && left.offset > 0
                && left.modified_ns == entry.modified_ns()
                && !near.iter().any(|entry| entry.id() == left.id)
        };
        if self.position.left.iter().any(is_packed_of) {
            // Tools that compress keep the time, to the nanosecond.
            return Ok(None);
        }
        if self.settled.contains(&settled) || self.position.left.iter().any(|left| left.id == entry.id()) {
            return Ok(None);
        }
        if family::is_unreadable(&entry.path) {
            self.settle(settled);
            self.lost(LossCause::Unreadable, &entry.path, 0, None);
            return Ok(None);
        }
        let content = match Content::open(&entry.path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A copy that is being made of the file at the path, or of one that was read.
        if current.is_some_and(|current| content.begins(current).unwrap_or(false)) {
            return Ok(None);
        }
        let like = self.is_cut_copy(&content, entry).and_then(|is_one| match is_one {
            true => Ok(None),
            false => content.most_like(&self.key, &self.position.left).map(|left| Some(left.cloned())),
        });
        match like {
            Ok(None) => {
                self.settle(settled);
                Ok(None)
            }
            Ok(Some(None)) => Ok(Some((content, None))),
            Ok(Some(Some(left))) => {
                if !has_more(&entry.path, left.offset)? {
                    self.settle(settled);
                    return Ok(None);
                }
                // It goes on being known where it is still there: only its head is the same.
                if !near.iter().any(|entry| entry.id() == left.id) {
                    self.position.left.retain(|other| *other != left);
                }
                Ok(Some((content, Some(left))))
            }
            // It is being written, or else damaged.
            Err(_) if self.unsure.remove(&settled) => {
                self.settle(settled);
                self.lost(LossCause::Unreadable, &entry.path, 0, None);
                Ok(None)
            }
            Err(_) => {
                self.unsure.insert(settled);
                self.unsure_since.get_or_insert_with(Instant::now);
                Ok(None)
            }
        }
    }

    /// Whether this is a copy of a file that was read further than the copy goes before it was cut.
    fn is_cut_copy(&self, content: &Content, entry: &Entry) -> io::Result<bool> {
        for left in self.position.left.iter().filter(|left| left.id == FileId::default()) {
            if entry.modified_ns() <= left.modified_ns
                && content.likeness(&self.key, left)? == Likeness::Shorter
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes on in a file at a position of it or of what it is a copy of, or at its beginning.
    fn start(
        &mut self,
        content: Content,
        from: Option<FilePosition>,
        copy_of: Option<PathBuf>,
    ) -> io::Result<Look> {
        let from = from.unwrap_or_default();
        let id = content.id();
        let modified_ns = from.modified_ns.max(modified_ns(&content.metadata));
        let file = if content.is_packed() { None } else { Some(content.file.try_clone()?) };
        let path = content.path.clone();
        let (bytes, before) = content.start(from.offset)?;
        self.lines.reset(from.offset, from.prints, &before);
        self.open = Some(Open { bytes, file, id, path, modified_ns, quiet_since: None, copy_of });
        self.position.reading = None;
        self.missing_since = None;
        self.has_begun = true;
        Ok(Look::Read)
    }

    fn near(&self) -> Vec<Entry> {
        let reading = self.open.as_ref().map(|open| open.path.as_path());
        let saved = self.position.reading.as_ref().map(|reading| reading.path.as_path());
        let left = self.position.left.last().map(|left| left.path.as_path());
        let last = reading.or(saved).or(left).filter(|path| !path.as_os_str().is_empty());
        family::list(&self.follow.path, last, self.follow.rotated_dir.as_deref())
    }

    /// The position after the last line break: a line that is being written is wanted whole.
    fn end_of_last_line(&self) -> io::Result<FilePosition> {
        let mut content = Content::open(&self.follow.path)?;
        let length = content.metadata.len();
        let from = length.saturating_sub(self.follow.line_bytes_max as u64);
        content.file.seek(SeekFrom::Start(from))?;
        let mut end = Vec::new();
        Read::by_ref(&mut content.file).take(length - from).read_to_end(&mut end)?;
        let offset = match memchr::memrchr(b'\n', &end) {
            Some(at) => from + at as u64 + 1,
            None if from == 0 => 0,
            None => length,
        };
        content.position_at(&self.key, offset)
    }

    fn changed(&mut self, change: SourceChange, file: &Path) {
        self.events.push(SourceEvent::Changed { change, file: file.to_owned() });
    }

    fn lost(&mut self, cause: LossCause, file: &Path, from: u64, to: Option<u64>) {
        self.events.push(SourceEvent::Lost { cause, file: file.to_owned(), from, to });
    }
}

/// Whether this is the very file of a position, whatever it holds by now, and not another to which the file
/// system gave its number.
fn is_file_of(metadata: &Metadata, position: &FilePosition) -> bool {
    FileId::of(metadata) == position.id && !is_made_after(metadata, position.modified_ns)
}

/// Whether a file goes on after `offset`.
fn has_more(path: &Path, offset: u64) -> io::Result<bool> {
    let (mut bytes, _) = Content::open(path)?.start(offset)?;
    Ok(bytes.read(&mut [0])? > 0)
}

#[cfg(test)]
mod tests;
