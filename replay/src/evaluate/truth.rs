//! What is true of the accounts: which campaign or population each belongs to, and when it asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use weir_schemas::AccountId;

/// Labels that mean an honest account, as an absent one does.
const HONEST_LABELS: [&str; 4] = ["", "benign", "honest", "none"];

/// Population of honest accounts whose rows name none.
const UNNAMED: &str = "honest";

/// What the campaigns begin with of accounts that people decided on, and that distil; the account follows.
/// Decisions are of accounts, so that each is a group of its own.
const CONFIRMED: &str = "confirmed";

/// The truth of all accounts.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    accounts: BTreeMap<AccountId, Account>,
    /// Every name that was read, once.
    names: BTreeMap<Arc<str>, ()>,
    first_ms: Option<i64>,
    is_decided: bool,
}

/// The truth of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its campaign; none where it is honest.
    pub label: Option<Arc<str>>,
    /// Its population, where its rows name one.
    pub population: Option<Arc<str>>,
    /// The country that its first row names.
    pub country: Option<Arc<str>>,
    /// Times of its events, in milliseconds after the first event of all that was read.
    pub times_ms: Vec<i32>,
}

impl Account {
    /// The name that it is counted under where it is honest.
    pub fn population(&self) -> Arc<str> {
        self.population.clone().unwrap_or_else(|| UNNAMED.into())
    }
}

impl Truth {
    /// Takes what an event's source says of its account. A label of any row holds for the whole account.
    pub fn add(
        &mut self,
        account: AccountId,
        time_ms: i64,
        label: Option<&str>,
        population: Option<&str>,
        country: Option<&str>,
    ) {
        let first_ms = *self.first_ms.get_or_insert(time_ms);
        let label = label.filter(|label| !HONEST_LABELS.contains(label)).map(|label| self.name(label));
        let population = population.map(|name| self.name(name));
        let country = country.map(|name| self.name(name));
        let account = self.accounts.entry(account).or_default();
        account.label = account.label.take().or(label);
        account.population = account.population.take().or(population);
        account.country = account.country.take().or(country);
        let after_ms = time_ms.saturating_sub(first_ms);
        account.times_ms.push(after_ms.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
    }

    /// Takes what people decided in place of what sources say: whether each of these accounts distils.
    /// Nothing is known of the others, so they are counted nowhere. How many of these accounts are left:
    /// those that have events.
    pub fn decide(&mut self, decisions: &BTreeMap<AccountId, bool>) -> usize {
        self.is_decided = true;
        self.accounts.retain(|account, _| decisions.contains_key(account));
        for (id, account) in &mut self.accounts {
            let distils = decisions.get(id).is_some_and(|distils| *distils);
            account.label = distils.then(|| format!("{CONFIRMED}.{id}").into());
        }
        self.accounts.len()
    }

    /// Whether it is known which accounts belong together: people decide on accounts, not on campaigns.
    pub fn knows_campaigns(&self) -> bool {
        !self.is_decided
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some((known, ())) = self.names.get_key_value(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone(), ());
        name
    }

    /// Every account, in ascending order.
    pub fn accounts(&self) -> impl Iterator<Item = (&AccountId, &Account)> {
        self.accounts.iter()
    }

    /// The time that times of events count from, in milliseconds since the Unix epoch.
    pub fn first_ms(&self) -> i64 {
        self.first_ms.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_confirmed_is_a_group_of_their_own_and_nothing_is_known_of_campaigns() {
        let mut truth = Truth::default();
        let [first, second, honest, unknown] = [1, 2, 3, 4].map(|n| AccountId([n; 16]));
        for account in [first, second, honest, unknown] {
            truth.add(account, 0, Some("farm-1"), None, None);
        }
        assert!(truth.knows_campaigns());
        let decisions = BTreeMap::from([(first, true), (second, true), (honest, false)]);
        assert_eq!(truth.decide(&decisions), 3);
        let labels: Vec<Option<String>> =
            truth.accounts().map(|(_, account)| account.label.as_deref().map(str::to_owned)).collect();
        let of = |account: AccountId| Some(format!("confirmed.{account}"));
        assert_eq!(labels, [of(first), of(second), None]);
        assert!(!truth.knows_campaigns());
    }
}
