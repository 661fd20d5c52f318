//! Who is let in: whoever knows a token.

use super::limits::{TOKEN_BYTES_MIN, TOKEN_FILE_BYTES_MAX};
use crate::keys::ensure_private;
use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

/// Tokens, as what they hash to: of equal length, so that comparing them tells nothing.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

/// The tokens of a file, one a line and at least one, so that a new one can be taken up before the old one is
/// dropped. `setting` names the file in errors.
///
/// # Errors
/// When the file cannot be read, can be read by others, or holds no token that is one.
pub fn tokens_in(path: &Path, setting: &str) -> Result<Vec<Zeroizing<String>>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {setting} {shown}"))?;
    ensure_private(path, setting)?;
    let mut text = Zeroizing::new(String::new());
    file.take(TOKEN_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {setting} {shown}"))?;
    ensure!(
        text.len() as u64 <= TOKEN_FILE_BYTES_MAX,
        "{setting} {shown} is over {TOKEN_FILE_BYTES_MAX} bytes: it holds tokens, one a line"
    );
    let tokens: Vec<&str> = text.lines().map(str::trim).filter(|token| !token.is_empty()).collect();
    ensure!(
        !tokens.is_empty(),
        "{setting} {shown} holds no token: `openssl rand -hex 32 > {shown}` makes one"
    );
    for token in &tokens {
        let is_token = token.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(
            is_token && token.len() >= TOKEN_BYTES_MIN,
            "{setting} {shown} holds a line that is no token: one has at least {TOKEN_BYTES_MIN} visible ASCII \
                 characters (`openssl rand -hex 32` makes one)"
        );
    }
    Ok(tokens.into_iter().map(|token| Zeroizing::new(token.to_owned())).collect())
}

impl Tokens {
    /// Those of a file: [`tokens_in`].
    pub fn read(path: &Path, setting: &str) -> Result<Self> {
        Ok(Self(tokens_in(path, setting)?.iter().map(|token| hash(token)).collect()))
    }

    /// Whether an `Authorization` header shows one of the tokens.
    pub fn allow(&self, authorization: Option<&[u8]>) -> bool {
        let Some(shown) = authorization.and_then(|value| std::str::from_utf8(value).ok()) else {
            return false;
        };
        let Some((scheme, token)) = shown.trim().split_once(' ') else { return false };
        scheme.eq_ignore_ascii_case("bearer") & self.has(token.trim())
    }

    /// Whether this is one of the tokens.
    pub fn has(&self, token: &str) -> bool {
        let shown = hash(token);
        // Every token is looked at, so that the time does not tell which one it was.
        self.0.iter().fold(Choice::from(0), |known, token| known | token.ct_eq(&shown)).into()
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn tokens(text: &str, mode: u32) -> Result<Tokens> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        Tokens::read(&file, "listener.token_file")
    }

    fn refused(text: &str, mode: u32) -> String {
        tokens(text, mode).err().map_or_else(String::new, |error| format!("{error:#}"))
    }

    #[test]
    fn a_token_of_the_file_is_let_in_and_nothing_else_is() {
        let tokens = tokens(&format!("{TOKEN}\n\nanother-token-of-some-length\n"), 0o600).unwrap();
        let allow = |header: &str| tokens.allow(Some(header.as_bytes()));
        assert!(allow(&format!("Bearer {TOKEN}")) && allow(&format!("bearer  {TOKEN} ")));
        assert!(allow("Bearer another-token-of-some-length"));
        for header in ["", "Bearer", "Bearer ", TOKEN, &format!("Basic {TOKEN}"), &format!("Bearer {TOKEN}0")]
        {
            assert!(!allow(header), "{header}");
        }
        assert!(!allow(&format!("Bearer {}", &TOKEN[1..])));
        assert!(!tokens.allow(None) && !tokens.allow(Some(b"Bearer \xff")));
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused_with_what_to_do() {
        assert!(refused(TOKEN, 0o640).contains("can be read by others (mode 640): chmod 600 it"));
        assert!(refused("\n \n", 0o600).contains("holds no token: `openssl rand -hex 32"));
        assert!(refused("secret\n", 0o600).contains("at least 16 visible ASCII characters"));
        assert!(refused(&"x".repeat(20_000), 0o600).contains("is over 16384 bytes"));
        assert!(!refused("hunter2 hunter2 hunter2", 0o600).contains("hunter2"));
    }
}
