//! A log beside a live one: whoever judges by it reads the live events, and what it says stays in a log of
//! its own.
//!
//! So the same step runs twice side by side: tasks, epochs and restores are those of the live judges, are
//! given this log, and know nothing of it. Nothing leads from it to the live log, which it holds as what is
//! read and opens no writer of. Control is its own as well, so that a policy that comes in force on the live
//! log takes no shadow's place.

use crate::limits::SHADOW_TURN;
use crate::log::{Log, LogError, Position, Reader, Writer};
use crate::record::Records;
use crate::topic::Topic;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The live log's events, and everything else of its own.
pub struct ShadowLog {
    live: Arc<dyn Log>,
    own: Arc<dyn Log>,
}

impl ShadowLog {
    /// The log beside `live` whose own records are in `own`. Both have as many partitions.
    pub fn beside(live: Arc<dyn Log>, own: Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self { live, own })
    }

    fn of(&self, topic: Topic) -> &dyn Log {
        if is_live(topic) { self.live.as_ref() } else { self.own.as_ref() }
    }
}

/// Whether a shadow reads this topic of the live log.
fn is_live(topic: Topic) -> bool {
    topic == Topic::Events
}

impl Log for ShadowLog {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.of(topic).partitions(topic)
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.of(topic).bounds(topic, partition)
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        let (live, own): (Vec<Position>, Vec<Position>) =
            from.iter().partition(|position| is_live(position.topic));
        if live.is_empty() {
            return self.own.reader(from);
        }
        if own.is_empty() {
            return self.live.reader(from);
        }
        let (mut lives, mut owns) = (0.., 0..);
        let place = |position: &Position| match is_live(position.topic) {
            true => Place::Live(lives.next().unwrap_or_default()),
            false => Place::Own(owns.next().unwrap_or_default()),
        };
        let places = from.iter().map(place).collect();
        Ok(Box::new(ShadowReader { live: self.live.reader(&live)?, own: self.own.reader(&own)?, places }))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        self.own.writer(name)
    }
}

/// Where an input lies, and which of the inputs there it is.
#[derive(Debug, Clone, Copy)]
enum Place {
    Live(usize),
    Own(usize),
}

struct ShadowReader {
    live: Box<dyn Reader>,
    own: Box<dyn Reader>,
    places: Vec<Place>,
}

impl Reader for ShadowReader {
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            // Both are asked each time: some readers fetch what they give while they are waited for.
            let own = self.own.wait(Duration::ZERO)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let turn = if own { Duration::ZERO } else { left.min(SHADOW_TURN) };
            if self.live.wait(turn)? || own {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    fn take(
        &mut self,
        input: usize,
        records_max: usize,
        bytes_max: usize,
        into: &mut Records,
    ) -> Result<(), LogError> {
        match self.places[input] {
            Place::Live(input) => self.live.take(input, records_max, bytes_max, into),
            Place::Own(input) => self.own.take(input, records_max, bytes_max, into),
        }
    }

    fn next(&self, input: usize) -> i64 {
        match self.places[input] {
            Place::Live(input) => self.live.next(input),
            Place::Own(input) => self.own.next(input),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by a panic what went wrong")]
mod tests {
    use super::*;
    use crate::log::Commit;
    use crate::memory::MemoryLog;
    use crate::record::Output;

    fn output(topic: Topic, payload: &str) -> Output {
        Output {
            topic,
            partition: Some(0),
            key: payload.into(),
            payload: Some(payload.into()),
            timestamp_ms: 1,
            headers: Vec::new(),
        }
    }

    fn put(log: &dyn Log, outputs: Vec<Output>) {
        log.writer("test").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    }

    fn all(log: &MemoryLog) -> Vec<(Topic, usize)> {
        let count = |topic: &Topic| (*topic, log.all(*topic).len());
        Topic::ALL.iter().map(count).filter(|(_, records)| *records > 0).collect()
    }

    #[test]
    fn nothing_that_is_written_beside_the_live_log_reaches_it() {
        let (live, own) = (MemoryLog::new(2), MemoryLog::new(2));
        put(live.as_ref(), vec![output(Topic::Events, "event"), output(Topic::Verdicts, "live")]);
        let before = all(&live);
        let shadow = ShadowLog::beside(live.clone(), own.clone());
        put(shadow.as_ref(), Topic::ALL.iter().map(|topic| output(*topic, "shadow")).collect());
        assert_eq!(all(&live), before);
        assert_eq!(all(&own).len(), Topic::ALL.len());
        // Nor does it take a name away from whoever writes there.
        let mut writer = live.writer("account/0").unwrap();
        let _shadows = shadow.writer("account/0").unwrap();
        writer.commit(&Commit::default()).unwrap();
    }

    #[test]
    fn its_inputs_are_the_live_events_and_its_own_of_everything_else() {
        let (live, own) = (MemoryLog::new(1), MemoryLog::new(1));
        let shadow = ShadowLog::beside(live.clone(), own.clone());
        let at = |topic| Position { topic, partition: 0, next: 0 };
        let mut reader =
            shadow.reader(&[at(Topic::Control), at(Topic::Events), at(Topic::Clusters)]).unwrap();
        assert!(!reader.wait(Duration::ZERO).unwrap());
        let told = [output(Topic::Control, "policy"), output(Topic::Clusters, "live")];
        put(live.as_ref(), told.to_vec());
        assert!(!reader.wait(Duration::ZERO).unwrap(), "what is not an event is not read");
        put(live.as_ref(), vec![output(Topic::Events, "event")]);
        put(shadow.as_ref(), vec![output(Topic::Clusters, "own")]);
        assert!(reader.wait(Duration::from_secs(5)).unwrap());
        let taken = [0, 1, 2].map(|input| {
            let mut records = Records::default();
            reader.take(input, 10, 1_000, &mut records).unwrap();
            let payloads = records.iter().map(|record| record.payload.unwrap().to_vec());
            (payloads.collect::<Vec<_>>(), reader.next(input))
        });
        assert_eq!(taken, [(vec![], 0), (vec![b"event".to_vec()], 1), (vec![b"own".to_vec()], 1)]);
        assert_eq!(shadow.bounds(Topic::Events, 0).unwrap(), (0, 1));
        assert_eq!(shadow.bounds(Topic::Control, 0).unwrap(), (0, 0));
    }
}
