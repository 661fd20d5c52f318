//! What operators and gateways give: policies, postures, sealed ids, link keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_enforcer::open::Opener;
use weir_enforcer::posture::Stance;
use weir_enforcer::review::{Item, Word, labels};
use weir_processor::policy::Policy;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::{EventId, Identity};

fuzz_target!(|bytes: &[u8]| {
    // A key that is sound, so that decapsulation and what follows it are reached.
    let (encapsulated, sealed) = bytes.split_at(bytes.len().min(32));
    let identity =
        Identity { seal_key: 1, encapsulated: encapsulated.into(), sealed: sealed.into(), ..Identity::default() };
    let pseudonyms = PseudonymKey::new(&[6; 32], identity.key_epoch);
    let _ = Opener::new().with_key(1, &[3; 32]).with_pseudonyms(pseudonyms).open(&identity);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Stance::parse(text);
    let _ = text.parse::<EventId>();
    let _ = (Word::read(text), Item::decode(bytes), labels::read(text));
    // Most of a policy's text is the same; the fuzzer changes one line of it.
    let _ = Policy::parse(text);
    let builtin = Policy::builtin_text();
    let at = builtin.char_indices().nth(text.len() * 7 % builtin.len()).map_or(0, |(at, _)| at);
    let _ = Policy::parse(&format!("{}{text}{}", &builtin[..at], &builtin[at..]));
});
