//! A log file that grows at a bounded rate while collectors follow it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::generate::{self, Labels};

/// Accounts of the log: few enough that some are judged over and over.
const ACCOUNTS: u64 = 1_000;
/// Event time of the whole log: with the run itself still less than `act.age_max_ms`.
const SPAN_MAX: Duration = Duration::from_secs(20 * 3600);
/// How often the file grows.
const TICK: Duration = Duration::from_millis(50);

/// The growing file.
pub struct Feed {
    path: PathBuf,
    lines: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Feed {
    /// Generates `events` lines and begins to write them to `path`, `rate` a second. The file grows
    /// anywhere, also in the middle of a line, as a gateway's log does.
    pub fn start(path: &Path, events: u64, rate: u64, seed: u64) -> Result<Self> {
        let whole = path.with_extension("whole");
        let mut out = BufWriter::new(File::create(&whole).context("cannot write the generated log")?);
        generate::write(&mut out, start_ms(events, seed)?, events, ACCOUNTS, seed, Labels::With)?;
        out.flush()?;
        let from = BufReader::new(File::open(&whole)?);
        let to = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let (lines, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (lines.clone(), stop.clone());
        let thread = std::thread::spawn(move || grow(from, to, rate, &counted, &stopped));
        Ok(Self { path: path.to_path_buf(), lines, stop, thread })
    }

    /// Whole lines so far.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Whether every generated line was written already.
    pub fn is_used_up(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the file after its current line; the number of its lines.
    pub fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_| anyhow::anyhow!("the feed's thread panicked"))?;
        ended.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.lines.load(Ordering::Relaxed))
    }
}

/// Where the log must begin for its last line to be of now: what is older than a day is history and is not
/// acted on, and what is ahead of the clock is refused.
fn start_ms(events: u64, seed: u64) -> Result<u64> {
    let last_ms =
        generate::write(&mut std::io::sink(), generate::START_MS, events, ACCOUNTS, seed, Labels::With)?;
    let span = Duration::from_millis(last_ms - generate::START_MS);
    ensure!(
        span < SPAN_MAX,
        "{events} events are more than a day's, and the first would be history: give fewer --events"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok((now - span).as_millis() as u64)
}

fn grow(
    mut from: impl BufRead,
    mut to: impl Write,
    rate: u64,
    lines: &AtomicU64,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let started = Instant::now();
    let mut line = Vec::new();
    loop {
        let due = started.elapsed().as_millis() as u64 * rate / 1_000;
        let mut chunk = Vec::new();
        for _ in lines.load(Ordering::Relaxed)..due {
            line.clear();
            if from.read_until(b'\n', &mut line)? == 0 {
                return to.write_all(&chunk);
            }
            chunk.extend_from_slice(&line);
            lines.fetch_add(1, Ordering::Relaxed);
        }
        // The last line comes in two parts, with a while between.
        let cut = chunk.len() - line.len().min(chunk.len()) / 2;
        to.write_all(&chunk[..cut])?;
        std::thread::sleep(TICK);
        to.write_all(&chunk[cut..])?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_is_stopped_ends_with_a_whole_line() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("feed.jsonl");
        let feed = Feed::start(&path, 100_000, 20_000, 1).unwrap();
        while feed.lines() < 1_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lines = feed.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('\n'));
        assert_eq!(text.lines().count() as u64, lines);
    }
}
