//! What a tenant may be called, wherever one is named by a person: in a registry's file, in a policy.

/// Longest id of a tenant, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Whether this can be a tenant's id.
pub fn is_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_to_64_small_letters_digits_and_hyphens() {
        let longest = "x".repeat(ID_BYTES_MAX);
        for id in ["a", "acme", "acme-2", "0", "-", &longest] {
            assert!(is_id(id), "{id}");
        }
        let too_long = longest.clone() + "x";
        for id in ["", "Acme", "acme corp", "acme/2", "acme.2", "acme_2", "ácme", &too_long] {
            assert!(!is_id(id), "{id}");
        }
    }
}
