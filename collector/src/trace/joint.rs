//! Requests and their responses on one connection.
//!
//! Responses come in the order of their requests. After bytes were not heard that order is not known: what
//! was whole becomes an event without an outcome, and joining goes on when a request begins on a connection
//! on which nothing is under way: clients wait for a response before they ask again. On a connection whose
//! client was seen not to that is never certain, and nothing is joined any more.

use super::exchange::{Exchange, Reply};
use super::head::{Head, Side};
use super::http1::{Framing, Listener, Method, Next, framing_of_request, framing_of_response};
use super::loss::{Loss, Losses};
use crate::event::Hidden;
use crate::limits::TRACE_PIPELINE_MAX;
use std::collections::VecDeque;

/// See the module.
#[derive(Default)]
pub(crate) struct Joint {
    /// Requests that are not events yet, in their order.
    pending: VecDeque<Exchange>,
    /// A request is being heard: the last of those that are pending.
    is_asking: bool,
    /// A response is being heard: that of the first pending one that has a reply.
    is_answering: bool,
    /// Requests were sent before the responses to earlier ones.
    is_pipelined: bool,
    /// Something was lost: which response belongs to which request is not known.
    is_uncertain: bool,
    /// What follows is another protocol.
    pub(crate) is_tunnel: bool,
}

/// Takes what a connection's readers tell.
pub(crate) struct Ear<'e> {
    pub(crate) joint: &'e mut Joint,
    pub(crate) losses: &'e mut Losses,
    /// Hides a credential.
    pub(crate) hide: &'e mut dyn FnMut(&str) -> Hidden,
    /// Takes exchanges that are over.
    pub(crate) done: &'e mut dyn FnMut(Exchange),
    pub(crate) now_ms: i64,
}

impl Joint {
    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.pending.iter().map(Exchange::held).sum()
    }
}

impl Ear<'_> {
    /// The connection is over: what was heard to its end becomes events.
    pub(crate) fn close(&mut self) {
        for exchange in &mut self.joint.pending {
            exchange.is_alone |= exchange.reply.is_none();
            if exchange.reply.is_none() && exchange.is_asked {
                self.losses.add(Loss::Unanswered, 1);
            }
        }
        self.settle();
    }

    /// Hands on the exchanges that are over, in the order of their requests.
    fn settle(&mut self) {
        while let Some(first) = self.joint.pending.front() {
            let is_answered = first.is_alone || first.reply.as_ref().is_some_and(|reply| reply.is_over);
            if !first.is_asked || !is_answered {
                return;
            }
            let Some(exchange) = self.joint.pending.pop_front() else { return };
            match exchange.who {
                Some(_) => (self.done)(exchange),
                None => self.losses.add(Loss::Anonymous, 1),
            }
        }
    }

    fn request(&mut self, head: &Head<'_>) -> Next {
        let joint = &mut *self.joint;
        if joint.pending.len() >= TRACE_PIPELINE_MAX {
            return Next::Unframed;
        }
        if joint.is_uncertain && joint.pending.is_empty() && !joint.is_answering && !joint.is_pipelined {
            joint.is_uncertain = false;
        }
        let mut exchange = Exchange::of(head, self.now_ms, self.hide);
        exchange.is_alone = joint.is_uncertain;
        joint.pending.push_back(exchange);
        joint.is_asking = true;
        framing_of_request(head)
    }

    fn response(&mut self, head: &Head<'_>) -> Next {
        let joint = &mut *self.joint;
        if (100..200).contains(&head.status) && head.status != 101 {
            return framing_of_response(head, Method::Other);
        }
        let mut waiting = joint.pending.iter_mut().filter(|exchange| exchange.reply.is_none());
        let Some(exchange) = waiting.next().filter(|exchange| !exchange.is_alone) else {
            self.losses.add(Loss::Orphan, 1);
            return framing_of_response(head, Method::Other);
        };
        // Nothing was lost since, so that another request waits behind this one was the client's doing.
        joint.is_pipelined |= waiting.next().is_some();
        exchange.answer(head);
        joint.is_answering = true;
        let next = framing_of_response(head, exchange.method);
        joint.is_tunnel |= matches!(next, Next::Body(Framing::Tunnel));
        next
    }

    fn reply(&mut self) -> Option<&mut Reply> {
        if !self.joint.is_answering {
            return None;
        }
        self.joint
            .pending
            .iter_mut()
            .filter_map(|exchange| exchange.reply.as_mut())
            .find(|reply| !reply.is_over)
    }

    fn asked(&mut self) -> Option<&mut Exchange> {
        self.joint.pending.back_mut().filter(|_| self.joint.is_asking)
    }
}

impl Listener for Ear<'_> {
    fn head(&mut self, side: Side, head: &Head<'_>) -> Next {
        match side {
            Side::Request => self.request(head),
            Side::Response => self.response(head),
        }
    }

    fn body(&mut self, side: Side, bytes: &[u8]) {
        let dropped = match side {
            Side::Request => self.asked().map(|exchange| exchange.ask(bytes)),
            Side::Response => self.reply().map(|reply| reply.take(bytes)),
        };
        self.losses.add(Loss::BodyBytes, dropped.unwrap_or_default());
    }

    fn missing(&mut self, side: Side, bytes: u64) {
        match side {
            Side::Request => self.asked().into_iter().for_each(Exchange::miss),
            Side::Response => self.reply().into_iter().for_each(|reply| reply.miss(bytes)),
        }
    }

    fn end(&mut self, side: Side) {
        match side {
            Side::Request => {
                if let Some(exchange) = self.asked() {
                    exchange.is_asked = true;
                }
                self.joint.is_asking = false;
            }
            Side::Response => {
                let now_ms = self.now_ms;
                if let Some(reply) = self.reply() {
                    reply.end(now_ms);
                }
                self.joint.is_answering = false;
            }
        }
        self.settle();
    }

    fn lost(&mut self, side: Side, is_under_way: bool) {
        match side {
            Side::Request => {
                if std::mem::take(&mut self.joint.is_asking) {
                    self.joint.pending.pop_back();
                }
                self.losses.add(Loss::Request, u64::from(is_under_way));
            }
            Side::Response => {
                self.joint.is_answering = false;
                self.losses.add(Loss::Response, u64::from(is_under_way));
                for exchange in &mut self.joint.pending {
                    match &mut exchange.reply {
                        Some(reply) => reply.is_over = true,
                        None => exchange.is_alone = true,
                    }
                }
            }
        }
        self.joint.is_uncertain = true;
        self.settle();
    }

    fn unsynced(&mut self, _side: Side, bytes: u64) {
        self.losses.add(Loss::UnsyncedBytes, bytes);
    }
}
