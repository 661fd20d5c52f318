//! Who calls the gateway: xtask/example/accounts.json, read by the plan and by the stub's auth.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;

/// The file's text, compiled in: the recording cannot drift from what the repository says.
const ACCOUNTS: &str = include_str!("../../example/accounts.json");

/// Everyone in the example.
#[derive(Deserialize)]
pub struct Accounts {
    /// Ordinary customers.
    pub behaving: Vec<Behaving>,
    /// The scripted extraction.
    pub campaign: Campaign,
}

/// The program that sends an account's requests.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    Curl,
    Node,
    OpenaiPython,
}

/// One ordinary customer.
#[derive(Deserialize)]
pub struct Behaving {
    pub key: String,
    #[serde(flatten)]
    pub facts: Facts,
    pub client: Client,
    /// How many requests it sends in a full recording.
    pub requests: usize,
    pub addresses: Vec<String>,
    /// Headers of its own, beside those that its client program always sends.
    pub headers: BTreeMap<String, String>,
    pub model: String,
    pub max_tokens: u32,
    pub system: Option<String>,
    pub prompts: Vec<String>,
}

/// Several keys under one hand.
#[derive(Deserialize)]
pub struct Campaign {
    pub label: String,
    payment: String,
    country: String,
    asn: u32,
    asn_org: String,
    /// The model before and after the switch that all keys make together.
    pub models: [String; 2],
    pub max_tokens: u32,
    pub system: String,
    /// Every prompt, with `{problem}` to fill in.
    pub template: String,
    pub keys: Vec<CampaignKey>,
    /// What goes into the template, with `{a}`, `{b}` and `{c}` for numbers.
    pub problems: Vec<String>,
    /// A problem that the model refuses.
    pub refused_problem: String,
}

/// One key of the campaign.
#[derive(Deserialize)]
pub struct CampaignKey {
    pub key: String,
    org: String,
    pub addresses: Vec<String>,
}

/// What the gateway's auth service knows of an account.
#[derive(Clone, Deserialize, PartialEq, Eq, Debug)]
pub struct Facts {
    pub org: String,
    pub payment: String,
    pub country: String,
    pub asn: u32,
    pub asn_org: String,
}

impl Accounts {
    /// Reads the compiled-in file.
    ///
    /// # Errors
    /// When accounts.json is not of this shape.
    pub fn load() -> anyhow::Result<Self> {
        serde_json::from_str(ACCOUNTS).context("xtask/example/accounts.json")
    }

    /// The facts of every account, by API key.
    pub fn facts(&self) -> BTreeMap<String, Facts> {
        let campaign = &self.campaign;
        let behaving = self.behaving.iter().map(|account| (account.key.clone(), account.facts.clone()));
        let keys = campaign.keys.iter().map(|key| {
            let facts = Facts {
                org: key.org.clone(),
                payment: campaign.payment.clone(),
                country: campaign.country.clone(),
                asn: campaign.asn,
                asn_org: campaign.asn_org.clone(),
            };
            (key.key.clone(), facts)
        });
        behaving.chain(keys).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_an_obvious_example_and_its_own() {
        let accounts = Accounts::load().unwrap();
        let facts = accounts.facts();
        assert_eq!(facts.len(), accounts.behaving.len() + accounts.campaign.keys.len());
        assert!(facts.keys().all(|key| key.starts_with("sk-example-")), "{facts:?}");
    }

    #[test]
    fn only_the_campaign_shares_a_payment_method() {
        let accounts = Accounts::load().unwrap();
        let facts = accounts.facts();
        for account in &accounts.behaving {
            let sharing = facts.values().filter(|other| other.payment == account.facts.payment);
            assert_eq!(sharing.count(), 1, "{}", account.key);
        }
        let payment = &accounts.campaign.payment;
        assert_eq!(
            facts.values().filter(|facts| &facts.payment == payment).count(),
            accounts.campaign.keys.len()
        );
    }

    #[test]
    fn the_readme_of_the_example_names_every_key() {
        let readme = include_str!("../../../examples/README.md");
        for key in Accounts::load().unwrap().facts().keys() {
            assert!(readme.contains(key), "examples/README.md does not say who {key} is");
        }
    }
}
