//! The connections that are listened to: bounded in number, where the one that was silent for longest is
//! forgotten first, and in what they hold, where the one that holds most is.

use super::connection::Connection;
use super::exchange::Exchange;
use super::heard::{Chunk, ConnectionId, Heard};
use super::loss::{Loss, Losses};
use super::record::Surroundings;
use super::taker::Taker;
use crate::event::Hidden;
use crate::limits::{TRACE_CONNECTIONS_MAX, TRACE_HELD_BYTES_MAX};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

struct Entry {
    connection: Connection,
    /// Its place among those that were heard of late.
    turn: u64,
    held: usize,
}

/// See the module.
pub(crate) struct Table {
    entries: HashMap<ConnectionId, Entry>,
    /// Connections by when they were heard last.
    turns: BTreeMap<u64, ConnectionId>,
    turn: u64,
    held: usize,
    now_ms: i64,
    connections_max: usize,
    held_max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
            held: 0,
            now_ms: 0,
            connections_max: TRACE_CONNECTIONS_MAX,
            held_max: TRACE_HELD_BYTES_MAX,
        }
    }
}

/// Takes exchanges that are over, with what is known of their connections.
pub(crate) type Done<'d> = &'d mut dyn FnMut(Exchange, &Surroundings, &mut Losses);

impl Table {
    pub(crate) fn hear(
        &mut self,
        heard: Heard<'_>,
        losses: &mut Losses,
        hide: &mut dyn FnMut(&str) -> Hidden,
        done: Done<'_>,
    ) {
        match heard {
            Heard::Peer(id, address) => self.touch(id).connection.surroundings.peer = Some(address),
            Heard::Hello(id, offset, bytes) => self.greet(id, offset, bytes),
            Heard::Chunk(chunk) => self.take(&chunk, losses, hide, done),
            Heard::Closed(id) => self.close(id, losses, hide, done),
        }
        while self.entries.len() > self.connections_max {
            let Some(id) = self.turns.first_key_value().map(|(_, id)| *id) else { return };
            losses.add(Loss::Forgotten, 1);
            self.close(id, losses, hide, done);
        }
        // Who holds most goes first: nobody has others forgotten by what they send themselves.
        while self.held > self.held_max {
            let largest = self.entries.iter().max_by_key(|(_, entry)| (entry.held, Reverse(entry.turn)));
            let Some(id) = largest.map(|(id, _)| *id) else { return };
            losses.add(Loss::Forgotten, 1);
            self.close(id, losses, hide, done);
        }
    }

    /// Ends every connection: nothing more will be heard.
    pub(crate) fn close_all(
        &mut self,
        losses: &mut Losses,
        hide: &mut dyn FnMut(&str) -> Hidden,
        done: Done<'_>,
    ) {
        while let Some((_, id)) = self.turns.first_key_value() {
            self.close(*id, losses, hide, done);
        }
    }

    fn touch(&mut self, id: ConnectionId) -> &mut Entry {
        self.turn += 1;
        let turn = self.turn;
        let entry = self.entries.entry(id).or_insert_with(|| Entry {
            connection: Connection::default(),
            turn,
            held: 0,
        });
        self.turns.remove(&entry.turn);
        entry.turn = turn;
        self.turns.insert(turn, id);
        entry
    }

    fn greet(&mut self, id: ConnectionId, offset: u64, bytes: &[u8]) {
        self.touch(id).connection.surroundings.hello.take(offset, bytes);
    }

    fn take(
        &mut self,
        chunk: &Chunk<'_>,
        losses: &mut Losses,
        hide: &mut dyn FnMut(&str) -> Hidden,
        done: Done<'_>,
    ) {
        self.now_ms = self.now_ms.max(chunk.time_ms);
        let entry = self.touch(chunk.connection);
        let before = entry.held;
        let mut over = Vec::new();
        let mut done_here = |exchange| over.push(exchange);
        let mut taker = Taker { losses, hide, done: &mut done_here, now_ms: chunk.time_ms };
        entry.connection.take(chunk, &mut taker);
        let after = entry.connection.held();
        entry.held = after;
        hand_on(over, &mut entry.connection, losses, done);
        self.held = self.held + after - before;
    }

    fn close(
        &mut self,
        id: ConnectionId,
        losses: &mut Losses,
        hide: &mut dyn FnMut(&str) -> Hidden,
        done: Done<'_>,
    ) {
        let Some(mut entry) = self.entries.remove(&id) else { return };
        self.turns.remove(&entry.turn);
        self.held -= entry.held;
        let mut over = Vec::new();
        entry.connection.close(Taker {
            losses,
            hide,
            done: &mut |exchange| over.push(exchange),
            now_ms: self.now_ms,
        });
        hand_on(over, &mut entry.connection, losses, done);
    }
}

/// Hands on the exchanges of a connection that are over.
fn hand_on(over: Vec<Exchange>, connection: &mut Connection, losses: &mut Losses, done: Done<'_>) {
    if over.is_empty() {
        return;
    }
    connection.miss_client(losses);
    // Of all of them first: those that are over at once are of one connection.
    over.iter().for_each(|exchange| connection.surroundings.carry(exchange, losses));
    over.into_iter().for_each(|exchange| done(exchange, &connection.surroundings, losses));
}

#[cfg(test)]
mod tests;
