//! Accounts as clients write them: an API key behind the name of a scheme, in any case and spacing.

use crate::limits::ACCOUNT_BYTES_MAX;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Names of schemes, in lower case. What follows one is the account, so that the same key is the same account
/// whichever of them a client writes.
const SCHEMES: [&str; 11] = [
    "bearer",
    "basic",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "key",
    "x-api-key",
    "authorization",
    "geniekey",
    "aws4-hmac-sha256",
];

/// What is written where there is no key, or where it was taken out, in lower case: it would be one account
/// of everybody.
const PLACEHOLDERS: [&str; 10] =
    ["redacted", "masked", "hidden", "null", "(null)", "nil", "none", "undefined", "n/a", "empty"];

/// A blank as it stands in an address.
const BLANK_IN_ADDRESS: &str = "%20";

/// The account of a text; nothing where a scheme is all there is.
pub(super) fn account(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_schemes(text)),
        Cow::Owned(text) => Cow::Owned(without_schemes(&text).to_owned()),
    };
    if text.is_empty() || is_placeholder(&text) {
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
    // Most are one word: nothing to trim, and nothing behind it.
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return if is_scheme(text) { "" } else { text };
    }
    let mut rest = trimmed(text);
    // A client that writes `Bearer Bearer KEY` has the same key.
    for _ in 0..4 {
        let Some(behind) = behind_scheme(rest) else { break };
        rest = trimmed(behind);
    }
    if let Some(id) = signed_by(rest) {
        return id;
    }
    // A client that sends the header twice has the key of the first: proxies join them.
    for (comma, _) in rest.match_indices(',').take(1) {
        if behind_scheme(rest[comma + 1..].trim_start()).is_some_and(|other| !other.is_empty()) {
            rest = trimmed(&rest[..comma]);
        }
    }
    rest
}

/// What stands behind the name of a scheme; none where there is none.
fn behind_scheme(text: &str) -> Option<&str> {
    let is_between = |char: char| char.is_whitespace() || matches!(char, ':' | '=');
    let end = text.find(|char: char| is_between(char) || char == '%').unwrap_or(text.len());
    let (scheme, behind) = text.split_at(end);
    if behind.starts_with('%') && !behind.starts_with(BLANK_IN_ADDRESS) {
        return None;
    }
    is_scheme(scheme).then(|| behind.trim_start_matches(BLANK_IN_ADDRESS).trim_start_matches(is_between))
}

/// Whether it stands for a key instead of being one: `[REDACTED]`, `<none>`, `***`.
fn is_placeholder(text: &str) -> bool {
    let inside =
        text.trim_matches(|char: char| matches!(char, '[' | ']' | '<' | '>' | '{' | '}' | '*' | '•'));
    inside.is_empty()
        || PLACEHOLDERS.iter().any(|known| [inside, text].iter().any(|own| own.eq_ignore_ascii_case(known)))
}

/// The id of the key of a request that is signed (AWS's version 4): the signature is another one each time.
fn signed_by(text: &str) -> Option<&str> {
    let behind = text.strip_prefix("Credential=")?;
    let id = behind.split(['/', ',']).next()?;
    (!id.is_empty()).then_some(id)
}

fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known))
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
            "Authorization: Bearer sk-1",
            "Bearer%20sk-1",
            "GenieKey sk-1",
            "Bearer sk-1, Bearer sk-2",
            "Bearer sk-1,Bearer sk-1",
        ] {
            assert_eq!(of(text).as_deref(), Some("sk-1"), "{text}");
        }
    }

    #[test]
    fn what_only_begins_like_a_scheme_is_an_account() {
        for text in ["bearer-of-news", "two words", "keyring", "token1", "a=b", "sk,1", "key%2F1"] {
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
    fn what_stands_for_a_key_is_no_account() {
        for text in [
            "REDACTED",
            "Bearer [REDACTED]",
            "<redacted>",
            "***",
            "Bearer ****",
            "null",
            "None",
            "Bearer undefined",
            "(null)",
            "N/A",
            "nil",
            "Bearer EMPTY",
            "{}",
            "[]",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        for text in ["nullable", "sk-***abc", "[sk-1]", "none-1", "x"] {
            assert_eq!(of(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_signed_request_is_of_the_key_that_signed_it_and_not_of_its_signature() {
        for signature in ["fe5f80", "0c11d9"] {
            let text = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261121/us-east-1/bedrock/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            assert_eq!(of(&text).as_deref(), Some("AKIAEXAMPLE"));
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
