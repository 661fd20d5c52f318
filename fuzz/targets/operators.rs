//! What operators and gateways give: policies, postures, sealed ids, link keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_enforcer::open::Opener;
use weir_enforcer::posture::Stance;
use weir_processor::policy::Policy;
use weir_schemas::EventId;

fuzz_target!(|bytes: &[u8]| {
    let _ = Opener::new().with_key(1, [3; 32]).open(EventId([9; 16]), bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Stance::parse(text);
    let _ = text.parse::<EventId>();
    // Most of a policy's text is the same; the fuzzer changes one line of it.
    let _ = Policy::parse(text);
    let builtin = Policy::builtin_text();
    let at = builtin.char_indices().nth(text.len() * 7 % builtin.len()).map_or(0, |(at, _)| at);
    let _ = Policy::parse(&format!("{}{text}{}", &builtin[..at], &builtin[at..]));
});
