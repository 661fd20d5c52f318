//! Of whom an operator's word speaks: one account, or every account of a tenant. And the lists that such
//! words fill.

use crate::limits::{LISTED_MAX, NAME_BYTES_MAX};
use std::collections::BTreeSet;
use std::fmt;
use weir_schemas::AccountId;

/// Of whom an operator's word speaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One account.
    Account(AccountId),
    /// Every account of this tenant.
    Tenant(String),
}

impl Subject {
    /// Reads `account/HEX` or `tenant/NAME`. The error says what is allowed, for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || "it must be account/ and 32 lower-case hex digits, or tenant/ and a name".to_owned();
        match text.split_once('/').ok_or_else(refused)? {
            ("account", id) => id.parse().map(Self::Account).map_err(|_| refused()),
            ("tenant", name) if !name.is_empty() && name.len() <= NAME_BYTES_MAX => {
                Ok(Self::Tenant(name.to_owned()))
            }
            _ => Err(refused()),
        }
    }

    /// Whether this account of this tenant is meant.
    pub fn means(&self, tenant: &str, account: AccountId) -> bool {
        match self {
            Self::Account(id) => *id == account,
            Self::Tenant(name) => name == tenant,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account/{id}"),
            Self::Tenant(name) => write!(f, "tenant/{name}"),
        }
    }
}

/// The lists that operators fill, a control record an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListName {
    /// Accounts that are acted on in canary posture, beside its share.
    Canary,
    /// Accounts that are never acted on.
    Protected,
}

impl ListName {
    /// Every list, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Canary, Self::Protected];

    /// What the names of its control records begin with; the subject follows.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Canary => "act.canary/",
            Self::Protected => "act.protected/",
        }
    }

    /// The list and the subject that the name of a control record speaks of; none where it is no list's.
    pub fn of_record(name: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|list| Some((list, name.strip_prefix(list.prefix())?)))
    }

    /// Name of the control record that puts `subject` on this list or takes it off.
    pub fn record_of(self, subject: &Subject) -> String {
        format!("{}{subject}", self.prefix())
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canary => "canary",
            Self::Protected => "protected",
        })
    }
}

/// Body of the control record that puts its subject on a list.
pub const ON: &str = "on";

/// Body of the control record that takes its subject off a list.
pub const OFF: &str = "off";

/// One list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List(BTreeSet<Subject>);

impl List {
    /// Whether an account of this tenant is on the list.
    pub fn holds(&self, tenant: &str, account: AccountId) -> bool {
        if self.0.is_empty() {
            return false;
        }
        self.0.contains(&Subject::Account(account)) || self.0.contains(&Subject::Tenant(tenant.to_owned()))
    }

    /// Whether the list has this very entry.
    pub fn has(&self, subject: &Subject) -> bool {
        self.0.contains(subject)
    }

    /// Whether one more entry would be too many.
    pub fn is_full(&self) -> bool {
        self.0.len() >= LISTED_MAX
    }

    /// Puts the subject on the list, or takes it off.
    pub fn set(&mut self, subject: Subject, is_on: bool) {
        if is_on {
            self.0.insert(subject);
        } else {
            self.0.remove(&subject);
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_an_account_or_a_tenant_and_reads_as_it_is_written() {
        for text in ["account/000102030405060708090a0b0c0d0e0f", "tenant/acme", "tenant/a/b"] {
            assert_eq!(Subject::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_and_says_what_is_allowed() {
        let long = format!("tenant/{}", "x".repeat(NAME_BYTES_MAX + 1));
        for text in ["", "acme", "tenant/", "account/acme", "account/000102", "org/x", &long] {
            let refused = "it must be account/ and 32 lower-case hex digits, or tenant/ and a name";
            assert_eq!(Subject::parse(text), Err(refused.into()), "{text}");
        }
    }

    #[test]
    fn a_list_holds_its_accounts_and_all_of_its_tenants() {
        let (one, other) = (AccountId([1; 16]), AccountId([2; 16]));
        let mut list = List::default();
        list.set(Subject::Account(one), true);
        list.set(Subject::Tenant("acme".into()), true);
        assert!(list.holds("x", one) && list.holds("acme", other) && !list.holds("x", other));
        list.set(Subject::Tenant("acme".into()), false);
        assert!(list.holds("acme", one) && !list.holds("acme", other));
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn the_name_of_a_record_says_list_and_subject() {
        let subject = Subject::Tenant("acme".into());
        for list in ListName::ALL {
            assert_eq!(ListName::of_record(&list.record_of(&subject)), Some((list, "tenant/acme")));
        }
        assert_eq!(ListName::of_record("act.age_max_ms"), None);
    }
}
