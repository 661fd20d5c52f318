//! Accounts as clients write them: an API key behind the name of a scheme, in any case and spacing.

use crate::limits::ACCOUNT_BYTES_MAX;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Names of schemes, in lower case. What follows one is the account, so that the same key is the same account
/// whichever of them a client writes.
const SCHEMES: [&str; 9] =
    ["bearer", "basic", "token", "apikey", "api-key", "api_key", "key", "x-api-key", "aws4-hmac-sha256"];

/// The account of a text; nothing where a scheme is all there is.
pub(super) fn account(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_schemes(text)),
        Cow::Owned(text) => Cow::Owned(without_schemes(&text).to_owned()),
    };
    if text.is_empty() {
        return None;
    }
    // A token of any length is an account; a long one by its hash, because an account is never cut.
    Some(if text.len() > ACCOUNT_BYTES_MAX { Cow::Owned(hashed(&text)) } else { text })
}

/// A long account by its hash, as whoever carries actions out sees it.
fn hashed(account: &str) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(account.as_bytes()) {
        // Writing to memory cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn without_schemes(text: &str) -> &str {
    let mut rest = trimmed(text);
    // A client that writes `Bearer Bearer KEY` has the same key.
    for _ in 0..3 {
        let end =
            rest.find(|char: char| char.is_whitespace() || matches!(char, ':' | '=')).unwrap_or(rest.len());
        let scheme = &rest[..end];
        if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            break;
        }
        rest = trimmed(
            rest[end..].trim_start_matches(|char: char| char.is_whitespace() || matches!(char, ':' | '=')),
        );
    }
    rest
}

fn trimmed(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inside.unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        account(text.into()).map(Cow::into_owned)
    }

    #[test]
    fn the_same_key_is_the_same_account_however_it_is_written() {
        for text in [
            "sk-1",
            "Bearer sk-1",
            "bearer   sk-1",
            "BEARER\tsk-1",
            "Token sk-1",
            "token: sk-1",
            "Token token=\"sk-1\"",
            "Bearer Bearer sk-1",
            "ApiKey sk-1",
            "Api-Key sk-1",
            "Basic sk-1 ",
            "\"Bearer sk-1\"",
        ] {
            assert_eq!(of(text).as_deref(), Some("sk-1"), "{text}");
        }
    }

    #[test]
    fn what_only_begins_like_a_scheme_is_an_account() {
        for text in ["bearer-of-news", "two words", "keyring", "token1", "a=b"] {
            assert_eq!(of(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_scheme_alone_is_no_account() {
        for text in ["", " ", "Bearer", "Bearer ", "basic:", "Bearer Token", "\"\""] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_token_is_an_account_by_its_hash() {
        let long = "x".repeat(ACCOUNT_BYTES_MAX + 1);
        assert_eq!(of(&long[1..]).as_deref(), Some(&long[1..]));
        let hash = of(&format!("Bearer {long}")).unwrap();
        assert!(hash.starts_with("sha256:") && hash.len() == 71, "{hash}");
        assert_eq!(of(&long).as_deref(), Some(&*hash));
        assert_ne!(of(&format!("{long}y")).as_deref(), Some(&*hash));
    }
}
