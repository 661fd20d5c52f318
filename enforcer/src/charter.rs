//! By which policies' verdicts may be acted on, where policies are signed: those whose bundle two people
//! signed for it.
//!
//! Verdicts come later than the policy that made them, so not only the last bundle counts. The built-in
//! policy is no bundle: where there is a trust store, nothing is acted on before the first.

use crate::limits::CHARTERS_MAX;
use std::collections::VecDeque;
use std::sync::Arc;
use weir_schemas::bundle::{Distrust, Trust};
use weir_schemas::{Control, Digest, Verdict};
use weir_topology::stage::StateEntry;

/// Name of the control record that puts a policy in force.
const POLICY_NAME: &str = "policy";

/// Key of the state entry: the greatest counter of a bundle, then the digests of the policies that may, a
/// line each.
pub(crate) const CHARTER_KEY: &[u8] = b"!charter";

/// Why an action is withheld by it.
pub(crate) const WITHHELD: &str = "the policy may not enforce: it takes a bundle of two signatures";

/// What an enforcer knows of signed policies.
#[derive(Debug, Default)]
pub(crate) struct Charter {
    trust: Option<Arc<Trust>>,
    counter: u64,
    /// SHA-256 of their texts, the latest last.
    may: VecDeque<Digest>,
    has_changed: bool,
}

impl Charter {
    /// Holds policies against this trust; against nothing where there is none.
    pub fn trusting(self, trust: Option<Arc<Trust>>) -> Self {
        Self { trust, ..self }
    }

    /// What tells it from any other; none where policies need no signature.
    pub fn digest(&self) -> Option<Digest> {
        self.trust.as_ref().map(|trust| trust.digest())
    }

    /// Follows an operator's word, which was published at this time by the log's own clock: in words, what a
    /// bundle may, or why it may nothing. None where it is about something else, or changes nothing.
    pub fn follow(&mut self, control: &Control, published_ms: i64) -> Option<Result<String, Distrust>> {
        let trust = self.trust.as_ref().filter(|_| control.name == POLICY_NAME)?;
        let bundle = match trust.admit(&control.body, published_ms, self.counter) {
            Ok(bundle) => bundle,
            // The same once more, of another process that is configured alike.
            Err(Distrust::RolledBack { found, reached }) if found == reached => return None,
            Err(distrust) => return Some(Err(distrust)),
        };
        let (digest, header) = (bundle.policy_digest(), &bundle.header);
        self.counter = header.counter;
        self.may.retain(|known| *known != digest);
        if header.enforces {
            self.may.push_back(digest);
        }
        while self.may.len() > CHARTERS_MAX {
            self.may.pop_front();
        }
        self.has_changed = true;
        let may = if header.enforces { "may" } else { "may not" };
        let (counter, signers) = (header.counter, bundle.signatures.len());
        Some(Ok(format!(
            "bundle {counter} of policy {digest}, signed by {signers}: verdicts by it {may} be acted on"
        )))
    }

    /// Whether an action on a verdict has to be withheld.
    pub fn withholds(&self, verdict: &Verdict) -> bool {
        self.trust.is_some() && !self.may.contains(&verdict.policy_digest)
    }

    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// How many state entries it has.
    pub fn entries(&self) -> usize {
        usize::from(self.counter > 0)
    }

    pub fn take_change(&mut self) -> Option<StateEntry> {
        std::mem::take(&mut self.has_changed).then(|| {
            let digests = self.may.iter().map(|digest| format!("{digest}\n"));
            let body = format!("{}\n{}", self.counter, digests.collect::<String>());
            StateEntry { key: CHARTER_KEY.into(), body: Some(body.into_bytes()) }
        })
    }

    /// Takes its state back. Nobody acts on by a counter that cannot be read.
    pub fn restore(&mut self, body: &str) -> Result<(), String> {
        let mut lines = body.lines();
        let counter = lines.next().and_then(|line| line.parse().ok());
        self.counter = counter.ok_or("the counter of signed policies is no number")?;
        let digest = |line: &str| line.parse().map_err(|_| format!("{line:?} is no digest of a policy"));
        self.may = lines.map(digest).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Forgets what it knew of policies.
    pub fn forget(&mut self) {
        *self = Self { trust: self.trust.take(), ..Self::default() };
    }
}
