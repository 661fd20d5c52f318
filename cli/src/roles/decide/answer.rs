//! Who is asking, how that account stands, and whether it may pass.

use super::limits::{CREDENTIAL_BYTES_MAX, KEYS_MAX, REDIS_REST};
use crate::context::{Context, now_ms};
use crate::keys::CollectorKeys;
use crate::settings::FailureMode;
use crate::telemetry::{Metrics, Transport};
use anyhow::{Result, ensure};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use thiserror::Error;
use weir_enforcer::act::redis::Client;
use weir_enforcer::answer::bucket::{Buckets, Rate};
use weir_enforcer::answer::decision::{Decision, Passes, Status};
use weir_enforcer::answer::standings::Standings;
use weir_schemas::AccountId;
use weir_schemas::pseudonym::PseudonymKey;

/// Headers in which clients send their keys, in the order in which nginx's log formats look at them.
pub const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// A request with more keys than anybody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a request may have {KEYS_MAX} keys at most")]
pub struct TooManyKeys;

/// What a gateway is told of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Whether it may pass.
    pub passes: Passes,
    /// How its account stands.
    pub decision: Decision,
    /// How old what is known is, in milliseconds; none where nothing was ever read.
    pub stale_ms: Option<i64>,
}

/// Answers gateways.
pub struct Desk {
    standings: Arc<Standings>,
    buckets: Mutex<Buckets>,
    rate: Rate,
    pseudonyms: PseudonymKey,
    tenant: String,
    tenant_header: Option<String>,
    mode: FailureMode,
    stale_ms_max: i64,
    began: Instant,
    shared: Option<Mutex<Shared>>,
    metrics: Arc<Metrics>,
}

/// The buckets that all servers share.
struct Shared {
    redis: Client,
    /// After a failure it is left alone for a moment.
    rests_until: Option<Instant>,
}

impl Desk {
    /// A desk for the gateways of the configured tenant.
    pub fn new(context: &Context, keys: &CollectorKeys, standings: Arc<Standings>) -> Result<Self> {
        let settings = &context.settings;
        let (epoch, key) = &keys.pseudonym;
        let tenant_header = settings.decide_tenant_header.as_ref().map(|name| name.to_ascii_lowercase());
        ensure!(
            tenant_header.as_deref().is_none_or(|name| !CREDENTIAL_HEADERS.contains(&name)),
            "decide.tenant_header must be another header than those of keys"
        );
        Ok(Self {
            standings,
            buckets: Mutex::new(Buckets::default()),
            rate: Rate { per_minute: settings.decide_limit_per_minute, burst: settings.decide_limit_burst },
            pseudonyms: PseudonymKey::new(key, *epoch),
            tenant: settings.tenant.clone(),
            tenant_header,
            mode: settings.decide_failure_mode,
            stale_ms_max: i64::try_from(settings.decide_stale_ms_max)?,
            began: Instant::now(),
            shared: settings
                .decide_redis
                .as_deref()
                .map(|address| Mutex::new(Shared { redis: Client::new(address), rests_until: None })),
            metrics: context.metrics.clone(),
        })
    }

    /// The header that names the tenant, where the operator trusts one.
    pub fn tenant_header(&self) -> Option<&str> {
        self.tenant_header.as_deref()
    }

    /// The accounts behind these credentials. A request with several keys is of each of them, also where a proxy on the way
    /// has joined them with commas.
    pub fn accounts<'c>(
        &self,
        tenant: Option<&str>,
        credentials: impl Iterator<Item = &'c str>,
    ) -> Result<Vec<AccountId>, TooManyKeys> {
        let tenant = tenant.unwrap_or(&self.tenant);
        let mut accounts = Vec::new();
        for credential in credentials.flat_map(with_parts) {
            if credential.len() > CREDENTIAL_BYTES_MAX {
                continue;
            }
            let Some(account) = weir_collector::account_of(credential) else { continue };
            if accounts.len() == KEYS_MAX {
                return Err(TooManyKeys);
            }
            accounts.push(self.pseudonyms.account(tenant, &account));
        }
        Ok(accounts)
    }

    /// How an account stands. Uses nothing up.
    pub fn look(&self, account: AccountId) -> Answer {
        let now_ms = now_ms();
        let decision = Decision::of(self.standings.get(account), now_ms);
        let passes = match decision.status {
            Status::Suspended => Passes::No(decision.until_ms.map(|until_ms| until_ms - now_ms)),
            Status::RateLimited => {
                let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
                in_ms(buckets.wait_us(account, self.now_us(), self.rate))
            }
            Status::Ok | Status::Watch => Passes::Yes,
        };
        Answer { passes, decision, stale_ms: self.standings.stale_ms(now_ms) }
    }

    /// Whether a request of these accounts may pass. Of several the gravest answer counts.
    pub fn ask(&self, accounts: &[AccountId], transport: Transport) -> Answer {
        let stale_ms = self.standings.stale_ms(now_ms());
        let nothing = Answer { passes: Passes::Yes, decision: Decision::NOTHING_KNOWN, stale_ms };
        let answers = accounts.iter().map(|account| self.ask_one(*account));
        let mut answer = answers.max_by_key(|answer| answer.gravity()).unwrap_or(nothing);
        let is_known = stale_ms.is_some_and(|stale_ms| stale_ms <= self.stale_ms_max);
        if self.mode == FailureMode::Closed && !is_known && answer.passes == Passes::Yes {
            answer.passes = Passes::Unknown;
        }
        self.metrics.gateway_answered(transport, answer.passes);
        answer
    }

    /// The same, in a thread that may wait where Redis is asked too.
    pub async fn answer(self: &Arc<Self>, accounts: Vec<AccountId>, transport: Transport) -> Answer {
        if self.shared.is_none() {
            return self.ask(&accounts, transport);
        }
        let waiting = self.clone();
        match tokio::task::spawn_blocking(move || waiting.ask(&accounts, transport)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "a request could not be answered; please report it");
                self.ask(&[], transport)
            }
        }
    }

    /// A request was refused, because nobody would know whose it is.
    pub fn refuse(&self, transport: Transport) {
        self.metrics.gateway_refused(transport);
    }

    fn ask_one(&self, account: AccountId) -> Answer {
        let answer = self.look(account);
        if answer.decision.status == Status::RateLimited && answer.passes == Passes::Yes {
            if let Some(wait_us) = self.ask_shared(account) {
                return Answer { passes: in_ms(Some(wait_us)), ..answer };
            }
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have used it up since the look.
            let now_us = self.now_us();
            match buckets.wait_us(account, now_us, self.rate) {
                None => buckets.charge(account, now_us, self.rate),
                wait_us => return Answer { passes: in_ms(wait_us), ..answer },
            }
        }
        answer
    }

    /// In how many microseconds the account may ask by what all servers let through; none where it may now, and where Redis
    /// does not answer: then each server counts for itself.
    fn ask_shared(&self, account: AccountId) -> Option<i64> {
        let mut shared = self.shared.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.rests_until.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        match shared.redis.take_token(account, self.rate) {
            Ok(wait_us) => {
                shared.rests_until = None;
                wait_us
            }
            Err(error) => {
                if shared.rests_until.is_none() {
                    tracing::warn!(%error, "requests are counted by this server alone");
                }
                shared.rests_until = Some(Instant::now() + REDIS_REST);
                self.metrics.shared_bucket_failed();
                None
            }
        }
    }

    /// A clock that never goes back, for buckets.
    fn now_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Answer {
    fn gravity(&self) -> (u8, Status) {
        let passes = match self.passes {
            Passes::Yes => 0,
            Passes::In(_) => 1,
            Passes::Unknown => 2,
            Passes::No(_) => 3,
        };
        (passes, self.decision.status)
    }
}

/// A credential, and what stands between its commas where it has any.
fn with_parts(credential: &str) -> impl Iterator<Item = &str> {
    let parts = credential.contains(',').then(|| credential.split(','));
    std::iter::once(credential).chain(parts.into_iter().flatten())
}

fn in_ms(wait_us: Option<i64>) -> Passes {
    wait_us.map_or(Passes::Yes, |wait_us| Passes::In(wait_us.div_euclid(1_000) + 1))
}
