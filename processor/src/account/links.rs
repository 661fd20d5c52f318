//! The values that an account was seen with and that other accounts could share, and when it tells them.
//!
//! Nothing is told of an account that just passes by. From its eighth request on it tells its card to each of
//! its values in rounds: when its requests have grown by half, and every two hours while its rhythm is no
//! person's. Few values of each kind are remembered, the oldest is forgotten first.

use crate::behaviour::{Behaviour, part};
use crate::measure::{quick_hash, short};
use weir_schemas::{LinkKind, Request, ValueHash};

/// Requests from which an account has something to tell.
const REQUESTS_MIN: u32 = 8;

/// Time after which an account that is no person tells its card again.
const ROUND_MS: i64 = 2 * 3_600_000;

/// A value and its kind: 17 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    kind: u8,
    /// The value's hash.
    pub value: ValueHash,
}
persist_fields!(Shared { kind, value });

impl Shared {
    fn of(kind: LinkKind, value: ValueHash) -> Self {
        Self { kind: kind as u8, value }
    }

    /// A direction of what is asked for.
    pub fn theme(cell: u64) -> Self {
        Self::of(LinkKind::Theme, number_value(cell))
    }

    /// Who pays, where this is the means by which the account mostly does: not a voucher, or somebody else's
    /// card.
    pub fn payer(&self, behaviour: &Behaviour) -> Option<Self> {
        let is_main = self.kind() == LinkKind::Payment && part(Some(self.value)) == behaviour.payment.value();
        is_main.then(|| Self::of(LinkKind::Org, self.value))
    }

    /// The organisation that is declared; none where none is.
    pub fn organisation(behaviour: &Behaviour) -> Option<Self> {
        let org = behaviour.org.value();
        (org != 0).then(|| Self::of(LinkKind::Org, number_value(quick_hash("organisation", org.into()))))
    }

    /// The client behind the browsers that an account says it comes with, where that is a lie.
    pub fn disguise(library: u32) -> Self {
        Self::of(LinkKind::Tls, number_value(quick_hash("disguise", library.into())))
    }

    /// The first words of prompts, by a part of their hash.
    pub fn opening(part: u32) -> Self {
        Self::of(LinkKind::Opening, number_value(quick_hash("opening", part.into())))
    }

    /// What is shared.
    pub fn kind(&self) -> LinkKind {
        LinkKind::ALL.get(usize::from(self.kind)).copied().unwrap_or_default()
    }
}

/// How many values of a kind are remembered.
fn kept(kind: LinkKind) -> usize {
    match kind {
        LinkKind::Subnet | LinkKind::Template => 3,
        LinkKind::Payment => 2,
        _ => 1,
    }
}

/// The values of one account: 56 bytes, and 17 for each of at most ten.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Links {
    values: Vec<Shared>,
    /// What was seen once, in short: most templates and many networks never come again.
    once: [u32; 6],
    next_once: u8,
    /// Requests at which the next round is due; 0 before the first.
    round_at: u32,
    round_ms: i64,
}
persist_fields!(Links { values, once, next_once, round_at, round_ms });

impl Links {
    /// The values that are remembered, those of one kind oldest first.
    pub fn all(&self) -> &[Shared] {
        &self.values
    }

    /// See [`crate::store::Entry::touch`].
    pub fn touch(&self) -> u64 {
        let kind = |index: usize| self.values.get(index).map_or(0, |shared| shared.kind);
        u64::from(kind(0) ^ kind(4))
    }

    /// Remembers the values of a request.
    #[inline]
    pub fn observe(&mut self, request: &Request<'_>) {
        let mut next = 0;
        let mut see = |kind: LinkKind, value: Option<ValueHash>| {
            let Some(value) = value else { return };
            let shared = Shared::of(kind, value);
            // Most requests are like the one before: then the values come in the order in which they are
            // kept.
            if self.values.get(next) == Some(&shared) {
                next += 1;
            } else if !self.values.contains(&shared) && self.is_second_sight(shared) {
                self.admit(shared);
            }
        };
        see(LinkKind::Payment, request.payment);
        see(LinkKind::Address, request.address);
        see(LinkKind::Subnet, request.subnet);
        see(LinkKind::Preamble, request.preamble);
        see(LinkKind::Template, request.prompt.as_ref().map(|prompt| prompt.template_hash));
    }

    fn admit(&mut self, shared: Shared) {
        let mut same_kind = self.values.iter().enumerate().filter(|(_, other)| other.kind == shared.kind);
        let oldest = same_kind.next().map(|(index, _)| index);
        let count = usize::from(oldest.is_some()) + same_kind.count();
        if let Some(oldest) = oldest.filter(|_| count >= kept(shared.kind())) {
            self.values.remove(oldest);
        }
        if self.values.len() == self.values.capacity() {
            // In fives: one step is enough for most accounts, and little is left over.
            self.values.reserve_exact(5);
        }
        self.values.push(shared);
    }

    fn is_second_sight(&mut self, shared: Shared) -> bool {
        let mark = short(&shared.value.0) ^ u32::from(shared.kind);
        if self.once.contains(&mark) {
            return true;
        }
        let next = usize::from(self.next_once) % self.once.len();
        self.once[next] = mark;
        self.next_once = ((next + 1) % self.once.len()) as u8;
        false
    }

    /// The values to tell the account's card to now; none unless a round is due. Whether its rhythm is a
    /// person's is asked only where it counts.
    pub fn round(
        &mut self,
        behaviour: &Behaviour,
        now_ms: i64,
        is_human: impl FnOnce() -> bool,
    ) -> Vec<Shared> {
        let requests = behaviour.requests;
        let is_due = requests >= self.round_at.max(REQUESTS_MIN);
        let is_late = || self.round_at > 0 && now_ms - self.round_ms >= ROUND_MS && !is_human();
        if !is_due && !is_late() {
            return Vec::new();
        }
        self.round_at = requests.saturating_add((requests / 2).max(4));
        self.round_ms = now_ms;
        let habit = quick_hash(
            "habit",
            u64::from(behaviour.limit.value()) << 32 | u64::from(behaviour.preamble.value()),
        );
        let program = quick_hash("program", habit ^ u64::from(behaviour.stack.value()));
        let mut told = self.values.clone();
        told.push(Shared::of(LinkKind::Program, number_value(program)));
        told.push(Shared::of(LinkKind::Habit, number_value(habit)));
        told
    }
}

/// Hash of a number that is a hash already.
fn number_value(number: u64) -> ValueHash {
    let mut value = ValueHash::default();
    value.0[..8].copy_from_slice(&number.to_le_bytes());
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{hash, prompt};
    use expect_test::expect;

    fn request(index: usize) -> Request<'static> {
        Request {
            payment: Some(hash("card")),
            subnet: Some(hash(&format!("net {}", index % 2))),
            preamble: Some(hash("you are")),
            prompt: Some(prompt("shape", &format!("text {index}"), 0)),
            ..Default::default()
        }
    }

    /// Tells at which requests there was a round, and what was told.
    fn rounds(count: usize, pause_ms: i64, is_human: bool) -> String {
        let (mut links, mut behaviour) = (Links::default(), Behaviour::default());
        let mut told = Vec::new();
        for index in 0..count {
            links.observe(&request(index));
            behaviour.observe(&request(index), 1);
            let round = links.round(&behaviour, index as i64 * pause_ms, || is_human);
            if !round.is_empty() {
                let kinds: Vec<_> = round.iter().map(|shared| shared.kind().as_str()).collect();
                told.push(format!("{} {}", index + 1, kinds.join(" ")));
            }
        }
        told.join("\n")
    }

    #[test]
    fn an_account_that_passes_by_tells_nothing() {
        assert_eq!(rounds(7, 1_000, false), "");
    }

    #[test]
    fn a_card_is_told_when_requests_have_grown_by_half() {
        expect![[r#"
            8 PAYMENT PREAMBLE TEMPLATE SUBNET SUBNET PROGRAM HABIT
            12 PAYMENT PREAMBLE TEMPLATE SUBNET SUBNET PROGRAM HABIT
            18 PAYMENT PREAMBLE TEMPLATE SUBNET SUBNET PROGRAM HABIT
            27 PAYMENT PREAMBLE TEMPLATE SUBNET SUBNET PROGRAM HABIT
            40 PAYMENT PREAMBLE TEMPLATE SUBNET SUBNET PROGRAM HABIT"#]]
        .assert_eq(&rounds(40, 1_000, false));
    }

    #[test]
    fn a_machine_tells_its_card_every_two_hours_besides() {
        let count = |is_human| rounds(24, 3_600_000, is_human).lines().count();
        assert_eq!((count(false), count(true)), (9, 3));
    }

    #[test]
    fn what_does_not_come_again_is_never_told() {
        let mut links = Links::default();
        for index in 0..500 {
            let text = format!("text {index}");
            let prompt = Some(prompt(&text, &text, 0));
            links.observe(&Request { prompt, subnet: Some(hash(&text)), ..Default::default() });
        }
        assert_eq!(links.all(), []);
    }

    #[test]
    fn of_many_networks_the_last_three_are_kept() {
        let mut links = Links::default();
        for index in 0..500 {
            links.observe(&Request {
                subnet: Some(hash(&format!("net {}", index / 2))),
                ..Default::default()
            });
        }
        assert_eq!(links.all().len(), 3);
    }
}
