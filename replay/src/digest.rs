//! One line that says whether two judgements are the same.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use weir_schemas::{AccountId, Campaign, Record, Verdict};

/// A SHA-256 over verdicts, by account and then by their order in the account.
///
/// What a verdict says of its place in a log (epoch, partition) is left out: two logs that hold the same
/// events give the same digest. Each account's verdicts are hashed as they come, length-prefixed; the digest
/// is the hash over accounts in ascending order with their hashes.
#[derive(Debug, Clone, Default)]
pub struct VerdictDigest {
    accounts: BTreeMap<AccountId, Sha256>,
    verdicts: u64,
}

impl VerdictDigest {
    /// Takes the next verdict of its account.
    pub fn add(&mut self, verdict: &Verdict) {
        let judgement = Verdict { epoch: 0, partition: 0, ..verdict.clone() };
        let datum = judgement.to_datum();
        let account = self.accounts.entry(verdict.account).or_default();
        account.update((datum.len() as u64).to_be_bytes());
        account.update(&datum);
        self.verdicts += 1;
    }

    /// Takes the verdicts of accounts that `self` has none of.
    pub fn merge(&mut self, other: Self) {
        self.verdicts += other.verdicts;
        for (account, hash) in other.accounts {
            let twice = self.accounts.insert(account, hash);
            debug_assert!(twice.is_none(), "an account belongs to one partition");
        }
    }

    /// Number of verdicts taken.
    pub fn verdicts(&self) -> u64 {
        self.verdicts
    }

    /// The digest, as 64 hex digits.
    pub fn finish(&self) -> String {
        let mut sha = Sha256::new();
        for (account, hash) in &self.accounts {
            sha.update(account.0);
            sha.update(hash.clone().finalize());
        }
        weir_schemas::Digest(sha.finalize().into()).to_string()
    }
}

/// A SHA-256 over what was said of campaigns, in its order, which is one order in a log. The epoch that a
/// record names is left out: two logs that hold the same events give the same digest.
#[derive(Debug, Clone, Default)]
pub struct CampaignDigest {
    sha: Sha256,
    records: u64,
}

impl CampaignDigest {
    /// Takes the next record.
    pub fn add(&mut self, campaign: &Campaign) {
        let datum = Campaign { epoch: 0, ..campaign.clone() }.to_datum();
        self.sha.update((datum.len() as u64).to_be_bytes());
        self.sha.update(&datum);
        self.records += 1;
    }

    /// Number of records taken.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The digest, as 64 hex digits.
    pub fn finish(&self) -> String {
        weir_schemas::Digest(self.sha.clone().finalize().into()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(account: u8, sequence: i64) -> Verdict {
        Verdict { account: AccountId([account; 16]), sequence, ..Verdict::default() }
    }

    fn digest_of(verdicts: &[Verdict]) -> String {
        let mut digest = VerdictDigest::default();
        verdicts.iter().for_each(|verdict| digest.add(verdict));
        digest.finish()
    }

    #[test]
    fn the_order_of_accounts_and_the_place_in_the_log_do_not_matter() {
        let elsewhere = Verdict { epoch: 9, partition: 3, ..verdict(2, 1) };
        assert_eq!(digest_of(&[verdict(1, 1), verdict(2, 1)]), digest_of(&[elsewhere, verdict(1, 1)]));
    }

    #[test]
    fn the_order_within_an_account_and_the_content_matter() {
        let forward = digest_of(&[verdict(1, 1), verdict(1, 2)]);
        assert_ne!(forward, digest_of(&[verdict(1, 2), verdict(1, 1)]));
        assert_ne!(forward, digest_of(&[verdict(1, 1), Verdict { score: 0.5, ..verdict(1, 2) }]));
        assert_ne!(forward, digest_of(&[verdict(1, 1)]));
    }
}
