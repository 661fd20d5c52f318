//! The values that an account was seen with and that other accounts could share.
//!
//! A value is told to the cluster stage when the account is first seen with it, and once more when the
//! account becomes suspicious. Few values of each kind are remembered, the oldest is forgotten first;
//! what is forgotten and comes back is told again, which the cluster stage does not count twice.

use crate::limits::LINKS_PER_HOUR_MAX;
use crate::measure::{quick_hash, short};
use weir_schemas::{LinkKind, Request, ValueHash};

/// A value of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    kind: u8,
    /// The value, hashed.
    pub value: ValueHash,
}
persist_fields!(Shared { kind, value });

impl Shared {
    /// What kind of value it is.
    pub fn kind(&self) -> LinkKind {
        LinkKind::ALL.get(usize::from(self.kind)).copied().unwrap_or_default()
    }
}

/// Values of each kind that are remembered: 20 in all.
fn kept(kind: LinkKind) -> usize {
    match kind {
        LinkKind::Subnet | LinkKind::Template => 4,
        LinkKind::Preamble => 3,
        LinkKind::H2 => 1,
        _ => 2,
    }
}

/// The values of an account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Links {
    /// Oldest first.
    values: Vec<Shared>,
    /// Texts that were seen once: one that never comes again is not worth a link.
    once: [u32; 4],
    next_once: u8,
    hour: u32,
    in_hour: u16,
}
persist_fields!(Links { values, once, next_once, hour, in_hour });

impl Links {
    /// Everything that is remembered, oldest first.
    pub fn all(&self) -> &[Shared] {
        &self.values
    }

    /// See [`crate::store::Entry::touch`].
    pub fn touch(&self) -> u64 {
        let kind = |index: usize| self.values.get(index).map_or(0, |shared| shared.kind);
        u64::from(kind(0) ^ kind(4) ^ kind(8))
    }

    /// Remembers the values of a request and returns those that are to be told.
    #[inline]
    pub fn observe(&mut self, request: &Request<'_>, now_ms: i64) -> Vec<Shared> {
        let (mut new, mut next) = (Vec::new(), 0);
        let mut see = |kind: LinkKind, value: Option<ValueHash>| {
            let Some(value) = value else { return };
            let shared = Shared { kind: kind as u8, value };
            // Most requests are like the one before: then the values come in the order in which they are kept.
            if self.values.get(next) == Some(&shared) {
                next += 1;
            } else if !self.values.contains(&shared) {
                self.admit(shared, now_ms, &mut new);
            }
        };
        see(LinkKind::Payment, request.payment);
        see(LinkKind::Org, request.org);
        see(LinkKind::Subnet, request.subnet);
        see(LinkKind::Preamble, request.preamble);
        see(LinkKind::Template, request.prompt.as_ref().map(|prompt| prompt.template_hash));
        see(LinkKind::Tls, request.ja4.or(request.ja3).map(text_value));
        see(LinkKind::H2, request.h2.map(text_value));
        see(LinkKind::Headers, request.headers.as_ref().map(|headers| number_value(headers.order_hash)));
        new
    }

    fn admit(&mut self, shared: Shared, now_ms: i64, new: &mut Vec<Shared>) {
        let kind = shared.kind();
        if matches!(kind, LinkKind::Template | LinkKind::Preamble) && !self.is_second_sight(shared) {
            return;
        }
        let hour = (now_ms / 3_600_000) as u32;
        if hour != self.hour {
            (self.hour, self.in_hour) = (hour, 0);
        }
        if self.in_hour >= LINKS_PER_HOUR_MAX {
            return;
        }
        self.in_hour += 1;
        let mut same_kind = self.values.iter().enumerate().filter(|(_, other)| other.kind == shared.kind);
        let oldest = same_kind.next().map(|(index, _)| index);
        let count = usize::from(oldest.is_some()) + same_kind.count();
        if let Some(oldest) = oldest.filter(|_| count >= kept(kind)) {
            self.values.remove(oldest);
        }
        if self.values.len() == self.values.capacity() {
            // In eights: one step is enough for most accounts, and little is left over.
            self.values.reserve_exact(8);
        }
        self.values.push(shared);
        new.push(shared);
    }

    fn is_second_sight(&mut self, shared: Shared) -> bool {
        let mark = short(&shared.value.0) ^ u32::from(shared.kind);
        if self.once.contains(&mark) {
            return true;
        }
        let next = usize::from(self.next_once) % self.once.len();
        self.once[next] = mark;
        self.next_once = (next + 1) as u8;
        false
    }
}

/// A public fingerprint as a value. It identifies nobody, so it needs no key.
fn text_value(text: &str) -> ValueHash {
    let mut value = ValueHash::default();
    value.0[..8].copy_from_slice(&quick_hash(text, 10).to_le_bytes());
    value.0[8..].copy_from_slice(&quick_hash(text, 11).to_le_bytes());
    value
}

fn number_value(number: i64) -> ValueHash {
    let mut value = ValueHash::default();
    value.0[..8].copy_from_slice(&number.to_le_bytes());
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{hash, prompt};
    use expect_test::expect;

    fn told(links: &mut Links, request: &Request<'_>, now_ms: i64) -> String {
        let kinds = links.observe(request, now_ms).into_iter().map(|shared| shared.kind().to_string());
        kinds.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_value_is_told_when_it_is_first_seen_and_a_text_when_it_comes_again() {
        let mut links = Links::default();
        let request = Request {
            payment: Some(hash("card")),
            subnet: Some(hash("net")),
            preamble: Some(hash("you are")),
            prompt: Some(prompt("shape", "text", 0)),
            ja4: Some("t13d1812h1_85036bcba153_b26ce05bbdd6"),
            ..Default::default()
        };
        expect!["PAYMENT SUBNET TLS"].assert_eq(&told(&mut links, &request, 1));
        expect!["PREAMBLE TEMPLATE"].assert_eq(&told(&mut links, &request, 2));
        expect![""].assert_eq(&told(&mut links, &request, 3));
    }

    #[test]
    fn ever_new_templates_are_never_told() {
        let mut links = Links::default();
        for index in 0..500 {
            let text = format!("text {index}");
            let request = Request { prompt: Some(prompt(&text, &text, 0)), ..Default::default() };
            assert_eq!(told(&mut links, &request, 1), "");
        }
    }

    #[test]
    fn ever_new_subnets_are_told_up_to_the_hours_limit_and_four_are_kept() {
        let mut links = Links::default();
        let mut count = 0;
        for index in 0..500 {
            let request = Request { subnet: Some(hash(&format!("net {index}"))), ..Default::default() };
            count += links.observe(&request, 1).len();
        }
        assert_eq!(count, usize::from(LINKS_PER_HOUR_MAX));
        assert_eq!(links.all().len(), 4);
    }
}
