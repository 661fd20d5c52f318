//! A reader: committed records in order, a few at a time, sometimes late.

use super::shared::Shared;
use super::store::{Kind, Store};
use crate::bug::Bug;
use std::time::Duration;
use weir_topology::log::{LogError, Position, Reader};
use weir_topology::record::Records;

pub(super) struct SimReader {
    store: Shared,
    process: usize,
    positions: Vec<Position>,
}

impl SimReader {
    pub(super) fn new(store: Shared, process: usize, from: &[Position]) -> Self {
        Self { store, process, positions: from.to_vec() }
    }
}

/// Moves over gaps that readers are told of; true if a record is there then.
fn is_ready(store: &mut Store, position: &mut Position) -> bool {
    let told = store.told(position.topic, position.partition);
    let mut next = position.next as usize;
    while next < told && matches!(store.slots(position.topic, position.partition)[next].kind, Kind::Gap) {
        next += 1;
    }
    if next < told {
        position.next = next as i64;
        return true;
    }
    // A gap at the end may be known now or later.
    if next > position.next as usize && !store.random.chance(store.faults.hidden_gap) {
        position.next = next as i64;
    }
    false
}

impl Reader for SimReader {
    fn wait(&mut self, wait: Duration) -> Result<bool, LogError> {
        let mut store = self.store.lock();
        store.read_fault(self.process)?;
        let until_us = store.now_us + wait.as_micros() as u64;
        loop {
            let mut any = false;
            for position in &mut self.positions {
                any |= is_ready(&mut store, position);
            }
            if any {
                return Ok(true);
            }
            match store.next_news() {
                Some(at_us) if at_us <= until_us => store.pass_to(at_us),
                _ => {
                    store.pass_to(until_us);
                    return Ok(false);
                }
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
        let store = &mut *self.store.lock();
        store.read_fault(self.process)?;
        let position = &mut self.positions[input];
        let records_max = match store.random.chance(store.faults.partial) {
            true => store.random.below(4).min(records_max as u64) as usize,
            false => records_max,
        };
        let (mut taken, mut bytes) = (0, 0);
        while taken < records_max && is_ready(store, position) {
            let skips = store.bug == Some(Bug::SkipOffset) && store.random.chance(20);
            let slot = &store.slots(position.topic, position.partition)[position.next as usize];
            let Kind::Record(output) = &slot.kind else { break };
            if bytes > 0 && bytes + output.bytes_len() > bytes_max {
                break;
            }
            if !skips {
                bytes += output.bytes_len();
                taken += 1;
                let headers = output.headers.iter().map(|(name, value)| (*name, value.as_slice()));
                into.push(
                    position.next,
                    output.timestamp_ms,
                    &output.key,
                    output.payload.as_deref(),
                    headers,
                );
            }
            position.next += 1;
        }
        Ok(())
    }

    fn next(&self, input: usize) -> i64 {
        self.positions[input].next
    }
}
