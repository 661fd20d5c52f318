//! Who an account is: what never changes of it.

use crate::access::Access;
use crate::clients::Client;
use crate::grammar::Language;
use crate::random::Random;
use crate::rhythm::Rhythm;
use crate::speech::Speech;
use crate::world::World;

/// What never changes of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Persona {
    /// Its person's language.
    pub language: Language,
    /// When it speaks.
    pub rhythm: Rhythm,
    /// Where from.
    pub access: Access,
    /// With what.
    pub client: Client,
    /// Another device, with its own way in, that some sessions come from.
    pub second: Option<(Client, Access)>,
    /// What it says.
    pub speech: Speech,
    /// Model, an index into [`crate::world::MODELS`].
    pub model: u8,
    /// When it moves to the released model; never where none.
    pub adopts_ms: Option<i64>,
    /// Share of requests that go to some other model.
    pub strays: f64,
    /// Payment method.
    pub payment: Option<u64>,
    /// Organisation.
    pub org: Option<u64>,
    /// First moment of it.
    pub born_ms: i64,
    /// The moment after its last.
    pub dies_ms: i64,
    /// Until then it does nothing but chat, like a person: an account that was bought, or is being aged.
    pub quiet_until_ms: i64,
}

impl Persona {
    /// Somebody who lives through the whole run, pays with a card of their own, and adopts the released model
    /// or not.
    pub fn new(
        world: &World,
        language: Language,
        rhythm: Rhythm,
        access: Access,
        client: Client,
        speech: Speech,
        random: &mut Random,
    ) -> Self {
        let release_ms = world.release_ms.filter(|_| random.chance(0.55));
        Self {
            language,
            rhythm,
            access,
            client: client.updated(world.is_up_to_date),
            second: None,
            speech,
            model: crate::world::any_model(random),
            adopts_ms: release_ms.map(|at_ms| at_ms + (random.log_normal(5.0, 1.1) * 3.6e6) as i64),
            strays: 0.0,
            payment: Some(random.bits()),
            org: None,
            born_ms: world.start_ms,
            dies_ms: world.end_ms,
            quiet_until_ms: 0,
        }
    }
}
