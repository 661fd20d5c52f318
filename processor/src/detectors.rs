//! The detectors, one file each. Every file says what its detector claims, by which evidence, what it
//! costs per event, how it is evaded and at what price, and where the idea comes from.

pub mod bond;
mod client;
pub mod contradiction;
pub mod disguise;
pub mod elicitation;
pub mod harvest;
pub mod indicator;
pub mod kin;
pub mod network;
pub mod opening;
pub mod owner;
pub mod payer;
pub mod probing;
pub mod proxies;
pub mod rhythm;
pub mod script;
pub mod theme;
pub mod whale;

pub use bond::Bond;
pub use contradiction::Contradiction;
pub use disguise::Disguise;
pub use elicitation::Elicitation;
pub use harvest::Harvest;
pub use indicator::Indicator;
pub use kin::Kin;
pub use network::Network;
pub use opening::Opening;
pub use owner::Owner;
pub use payer::Payer;
pub use probing::Probing;
pub use proxies::Proxies;
pub use rhythm::Rhythm;
pub use script::Script;
pub use theme::Theme;
pub use whale::Whale;
