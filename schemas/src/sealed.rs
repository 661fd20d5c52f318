//! What stands in a sealed identity, and what it is bound to: the layout that collectors seal and the
//! enforcer opens.

use crate::{AccountId, Identity};
use zeroize::Zeroizing;

/// HPKE's `info`: what the sealing is for.
pub const INFO: &[u8] = b"weir.identity";

/// What HPKE's context exports the key of a place for: identities that have an encapsulated key in common
/// have a place each, from 1 on, and a key of their own, with which nothing else is sealed.
pub fn exported_for(place: i32) -> [u8; 4] {
    place.to_be_bytes()
}

/// The content is filled up to a multiple of this many bytes, so that its length tells little of the id.
const BLOCK_BYTES: usize = 32;

/// HPKE's associated data: which pseudonym under which keys it is. A sealed id moved to another account does
/// not open.
pub fn bound_to(account: AccountId, key_epoch: i32, seal_key: i32) -> [u8; 24] {
    let mut bound = [0; 24];
    bound[..16].copy_from_slice(&account.0);
    bound[16..20].copy_from_slice(&key_epoch.to_be_bytes());
    bound[20..].copy_from_slice(&seal_key.to_be_bytes());
    bound
}

impl Identity {
    /// See [`bound_to`].
    pub fn bound_to(&self) -> [u8; 24] {
        bound_to(self.account, self.key_epoch, self.seal_key)
    }
}

/// Both lengths in two bytes each, tenant, account, and zeros up to a multiple of 32 bytes. Neither may be
/// longer than 65,535 bytes.
pub fn content(tenant: &str, account: &str) -> Zeroizing<Vec<u8>> {
    let length = 4 + tenant.len() + account.len();
    let mut content = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(BLOCK_BYTES)));
    content.extend_from_slice(&(tenant.len() as u16).to_be_bytes());
    content.extend_from_slice(&(account.len() as u16).to_be_bytes());
    content.extend_from_slice(tenant.as_bytes());
    content.extend_from_slice(account.as_bytes());
    content.resize(length.next_multiple_of(BLOCK_BYTES), 0);
    content
}

/// The tenant and the account in what [`content`] made; none where it is something else.
pub fn parse(content: &[u8]) -> Option<(&str, &str)> {
    let (tenant, rest) = content.split_first_chunk::<2>()?;
    let (account, rest) = rest.split_first_chunk::<2>()?;
    let (tenant, rest) = rest.split_at_checked(u16::from_be_bytes(*tenant).into())?;
    let (account, filling) = rest.split_at_checked(u16::from_be_bytes(*account).into())?;
    let is_filling = filling.len() < BLOCK_BYTES && filling.iter().all(|byte| *byte == 0);
    is_filling.then_some(())?;
    Some((std::str::from_utf8(tenant).ok()?, std::str::from_utf8(account).ok()?))
}
