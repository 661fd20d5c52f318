//! How far the enforcer is trusted to act: not at all, on some accounts, or on all.

use crate::limits::NAME_BYTES_MAX;
use sha2::{Digest as _, Sha256};
use std::fmt;
use weir_schemas::{AccountId, Posture};

/// Name of the control record that sets the posture.
pub const POSTURE_NAME: &str = "posture";

/// The posture in force. A fresh install is in audit: it acts on nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stance {
    /// The posture.
    pub posture: Posture,
    /// Share of accounts that canary acts on, in percent; 0 in any other posture.
    pub canary_percent: u8,
}

impl Stance {
    /// The stance that a control record's body asks for: `audit`, `canary PERCENT` or `enforce`.
    ///
    /// The error says what is allowed, for the operator.
    pub fn parse(body: &str) -> Result<Self, String> {
        let refused = || {
            let shown: String = body.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX / 8).collect();
            format!("the posture must be audit, canary 0 to 100, or enforce; not \"{shown}\"")
        };
        let mut words = body.split_ascii_whitespace();
        let stance = match (words.next(), words.next()) {
            (Some("audit"), None) => Self::default(),
            (Some("enforce"), None) => Self { posture: Posture::Enforce, canary_percent: 0 },
            (Some("canary"), Some(percent)) => {
                let is_number = percent.bytes().all(|byte| byte.is_ascii_digit());
                let percent = percent.parse().ok().filter(|percent| is_number && *percent <= 100);
                Self { posture: Posture::Canary, canary_percent: percent.ok_or_else(refused)? }
            }
            _ => return Err(refused()),
        };
        if words.next().is_some() { Err(refused()) } else { Ok(stance) }
    }

    /// Why the stance keeps the enforcer from acting on this account; none where it may act.
    pub fn withholds(self, account: AccountId) -> Option<&'static str> {
        match self.posture {
            Posture::Audit => Some("the posture is audit"),
            Posture::Canary if bucket(account) >= self.canary_percent => {
                Some("the account is outside the canary")
            }
            Posture::Canary | Posture::Enforce => None,
        }
    }
}

impl fmt::Display for Stance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.posture {
            Posture::Audit => f.write_str("audit"),
            Posture::Canary => write!(f, "canary {}", self.canary_percent),
            Posture::Enforce => f.write_str("enforce"),
        }
    }
}

/// The account's bucket, 0 to 99: always the same, so that a wider canary holds all of a narrower one.
fn bucket(account: AccountId) -> u8 {
    let mut sha = Sha256::new();
    sha.update(b"weir.canary");
    sha.update(account.0);
    let hash: [u8; 32] = sha.finalize().into();
    let (number, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    (u64::from_be_bytes(*number) % 100) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(body: &str, expected: Expect) {
        expected.assert_eq(&match Stance::parse(body) {
            Ok(stance) => stance.to_string(),
            Err(error) => error,
        });
    }

    #[test]
    fn a_posture_is_one_of_three_words_and_canary_has_a_percentage() {
        check("audit", expect!["audit"]);
        check(" enforce\n", expect!["enforce"]);
        check("canary 5", expect!["canary 5"]);
        check("canary 100", expect!["canary 100"]);
    }

    #[test]
    fn anything_else_is_refused_and_says_what_is_allowed() {
        check("", expect![[r#"the posture must be audit, canary 0 to 100, or enforce; not """#]]);
        check("canary", expect![[r#"the posture must be audit, canary 0 to 100, or enforce; not "canary""#]]);
        check(
            "canary 101",
            expect![[r#"the posture must be audit, canary 0 to 100, or enforce; not "canary 101""#]],
        );
        check(
            "canary +5",
            expect![[r#"the posture must be audit, canary 0 to 100, or enforce; not "canary +5""#]],
        );
        check(
            "enforce now",
            expect![[r#"the posture must be audit, canary 0 to 100, or enforce; not "enforce now""#]],
        );
        check(
            "ENFORCE\u{7}",
            expect![[r#"the posture must be audit, canary 0 to 100, or enforce; not "ENFORCE""#]],
        );
    }

    #[test]
    fn a_canary_acts_on_about_its_share_and_a_wider_one_on_the_same_accounts_and_more() {
        let acts = |percent: u8| -> Vec<u32> {
            let stance = Stance { posture: Posture::Canary, canary_percent: percent };
            let account = |n: u32| AccountId(u128::from(n).to_be_bytes());
            (0..2000).filter(|n| stance.withholds(account(*n)).is_none()).collect()
        };
        assert!(acts(0).is_empty());
        assert_eq!(acts(100).len(), 2000);
        let (narrow, wide) = (acts(10), acts(30));
        assert!((150..250).contains(&narrow.len()), "{}", narrow.len());
        assert!(narrow.iter().all(|n| wide.contains(n)));
    }
}
