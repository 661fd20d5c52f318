//! Who is asking, how that account stands, and whether it may pass.

use super::limits::{KEYS_MAX, REDIS_REST, REDIS_WAITERS_MAX};
use crate::context::{Context, now_ms};
use crate::keys::CollectorKeys;
use crate::settings::FailureMode;
use crate::telemetry::{Metrics, Transport};
use anyhow::{Result, ensure};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use thiserror::Error;
use tokio::sync::Semaphore;
use weir_enforcer::act::redis::Client;
use weir_enforcer::answer::bucket::{Buckets, Rate};
use weir_enforcer::answer::decision::{Decision, Passes, Status};
use weir_enforcer::answer::standings::Standings;
use weir_schemas::AccountId;
use weir_schemas::pseudonym::PseudonymKey;

/// Headers in which clients send their keys, in the order in which nginx's log formats look at them.
pub const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// Why nobody would know whose a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unclear {
    /// It has more keys than anybody has.
    #[error("a request may have {KEYS_MAX} keys at most")]
    TooManyKeys,
    /// It is said to be of several tenants.
    #[error("a request may be of one tenant only; let the gateway replace what its client says")]
    TooManyTenants,
}

/// What a gateway is told of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Whether it may pass.
    pub passes: Passes,
    /// The account that the answer is about: of several the one that counts; none where the request is nobody's.
    pub account: Option<AccountId>,
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
    shared: Option<Shared>,
    metrics: Arc<Metrics>,
}

/// The buckets that all servers share.
struct Shared {
    redis: Mutex<Redis>,
    /// Whoever waits for them.
    waiters: Arc<Semaphore>,
}

struct Redis {
    client: Client,
    /// After a failure it is left alone for a moment.
    rests_until: Option<Instant>,
}

/// By which bucket a request of an account that is slowed down is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// The one that all servers share; this server's where Redis does not answer.
    Shared,
    /// This server's.
    Own,
    /// None: it is only looked at.
    Nothing,
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
            shared: settings.decide_redis.as_deref().map(|address| Shared {
                redis: Mutex::new(Redis { client: Client::new(address), rests_until: None }),
                waiters: Arc::new(Semaphore::new(REDIS_WAITERS_MAX)),
            }),
            metrics: context.metrics.clone(),
        })
    }

    /// The header that names the tenant, where the operator trusts one.
    pub fn tenant_header(&self) -> Option<&str> {
        self.tenant_header.as_deref()
    }

    /// How often an account may ask that is slowed down.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The accounts behind these credentials, each once. A request with several keys is of each of them, also where a proxy on
    /// the way has joined them with commas. `tenants` are the values that name its tenant; without one it is the configured one.
    pub fn accounts<'c>(
        &self,
        tenants: impl Iterator<Item = &'c [u8]>,
        credentials: impl Iterator<Item = &'c [u8]>,
    ) -> Result<Vec<AccountId>, Unclear> {
        let tenant = only_tenant(tenants, &self.tenant)?;
        Ok(keys_of(credentials)?.iter().map(|key| self.pseudonyms.account(&tenant, key)).collect())
    }

    /// Whether a request may pass whose headers have these `values`, by the name of each. Where nobody would know whose it is, it is
    /// counted as refused.
    pub async fn answer_to<'r, V: Iterator<Item = &'r [u8]>>(
        self: &'r Arc<Self>,
        transport: Transport,
        values: impl Fn(&'r str) -> V,
    ) -> Result<Answer, Unclear> {
        let tenants = self.tenant_header().into_iter().flat_map(&values);
        let accounts = self.accounts(tenants, CREDENTIAL_HEADERS.into_iter().flat_map(&values));
        match accounts {
            Ok(accounts) => Ok(self.answer(accounts, transport).await),
            Err(error) => {
                self.refuse(transport);
                Err(error)
            }
        }
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
        Answer { passes, account: Some(account), decision, stale_ms: self.standings.stale_ms(now_ms) }
    }

    /// Whether a request of these accounts may pass. Of several the gravest answer counts. Only for an account that is slowed
    /// down Redis is asked, in a thread that may wait, so that nobody else waits with it.
    pub async fn answer(self: &Arc<Self>, accounts: Vec<AccountId>, transport: Transport) -> Answer {
        let is_to_count = |account: &AccountId| self.look(*account).is_to_count();
        let Some(shared) = self.shared.as_ref().filter(|_| accounts.iter().any(is_to_count)) else {
            return self.ask(&accounts, transport, Count::Own);
        };
        let Ok(waits) = shared.waiters.clone().try_acquire_owned() else {
            self.metrics.shared_bucket_failed();
            return self.ask(&accounts, transport, Count::Own);
        };
        let (desk, asked) = (self.clone(), accounts.clone());
        let asking = tokio::task::spawn_blocking(move || {
            let answer = desk.ask(&asked, transport, Count::Shared);
            drop(waits);
            answer
        });
        asking.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request is answered from memory alone; please report it");
            self.ask(&accounts, transport, Count::Nothing)
        })
    }

    fn ask(&self, accounts: &[AccountId], transport: Transport, count: Count) -> Answer {
        let stale_ms = self.standings.stale_ms(now_ms());
        let nothing =
            Answer { passes: Passes::Yes, account: None, decision: Decision::NOTHING_KNOWN, stale_ms };
        let answers = accounts.iter().map(|account| self.ask_one(*account, count));
        let mut answer = answers.max_by_key(|answer| answer.gravity()).unwrap_or(nothing);
        let is_known = stale_ms.is_some_and(|stale_ms| stale_ms <= self.stale_ms_max);
        if self.mode == FailureMode::Closed && !is_known && answer.passes == Passes::Yes {
            answer.passes = Passes::Unknown;
            answer.account = None;
        }
        self.metrics.gateway_answered(transport, answer.passes);
        answer
    }

    /// A request was refused, because nobody would know whose it is.
    pub fn refuse(&self, transport: Transport) {
        self.metrics.gateway_refused(transport);
    }

    fn ask_one(&self, account: AccountId, count: Count) -> Answer {
        let answer = self.look(account);
        if answer.is_to_count() && count != Count::Nothing {
            let shared = self.shared.as_ref().filter(|_| count == Count::Shared);
            if let Some(wait_us) = shared.and_then(|shared| self.ask_shared(shared, account)) {
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
    fn ask_shared(&self, shared: &Shared, account: AccountId) -> Option<i64> {
        let mut redis = shared.redis.lock().unwrap_or_else(PoisonError::into_inner);
        if redis.rests_until.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        match redis.client.take_token(account, self.rate) {
            Ok(wait_us) => {
                redis.rests_until = None;
                wait_us
            }
            Err(error) => {
                if redis.rests_until.is_none() {
                    tracing::warn!(%error, "requests are counted by this server alone");
                }
                redis.rests_until = Some(Instant::now() + REDIS_REST);
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
    /// Whether it lets a request of an account pass that is slowed down: that uses one up.
    fn is_to_count(&self) -> bool {
        self.decision.status == Status::RateLimited && self.passes == Passes::Yes
    }

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

/// A header's value as text, as the collector reads lines: what is not UTF-8 is replaced.
pub fn text_of(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}

/// The one tenant that these values name, also where a proxy on the way has joined them with commas.
fn only_tenant<'c>(values: impl Iterator<Item = &'c [u8]>, configured: &str) -> Result<String, Unclear> {
    let mut only: Option<String> = None;
    for value in values {
        for name in text_of(value).split(',') {
            let name = weir_collector::tenant_of(name).unwrap_or(configured);
            match &only {
                Some(other) if other != name => return Err(Unclear::TooManyTenants),
                Some(_) => {}
                None => only = Some(name.to_owned()),
            }
        }
    }
    Ok(only.unwrap_or_else(|| configured.to_owned()))
}

/// The keys in these credentials, as a line's account has them.
fn keys_of<'c>(credentials: impl Iterator<Item = &'c [u8]>) -> Result<BTreeSet<String>, Unclear> {
    let mut keys = BTreeSet::new();
    for credential in credentials.map(text_of) {
        for key in with_parts(&credential).filter_map(weir_collector::account_of) {
            keys.insert(key);
            if keys.len() > KEYS_MAX {
                return Err(Unclear::TooManyKeys);
            }
        }
    }
    Ok(keys)
}

/// A credential, and what stands between its commas where it has any.
fn with_parts(credential: &str) -> impl Iterator<Item = &str> {
    let parts = credential.contains(',').then(|| credential.split(','));
    std::iter::once(credential).chain(parts.into_iter().flatten())
}

fn in_ms(wait_us: Option<i64>) -> Passes {
    wait_us.map_or(Passes::Yes, |wait_us| Passes::In(wait_us.div_euclid(1_000) + 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test may fail loudly.
mod tests {
    use super::*;
    use std::net::TcpListener;
    use weir_enforcer::answer::standings::Follower;
    use weir_schemas::wire::Wire;
    use weir_schemas::{Standing, StandingStatus};
    use weir_topology::log::{Commit, Log as _};
    use weir_topology::memory::MemoryLog;
    use weir_topology::record::Output;
    use weir_topology::topic::Topic;

    /// A desk that knows these, and asks a Redis at `redis`. One request may be made, and no second.
    fn desk(known: &[(AccountId, StandingStatus)], redis: String) -> Arc<Desk> {
        let (log, wire, standings) = (MemoryLog::new(1), Arc::new(Wire::new()), Arc::<Standings>::default());
        let output = |(account, status): &(AccountId, StandingStatus)| {
            let standing = Standing { account: *account, status: *status, ..Standing::default() };
            Output::keyed(Topic::Standing, account.to_key(), wire.to_bytes(&standing), 0)
        };
        let outputs = known.iter().map(output).collect();
        log.writer("test").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
        Follower::new(log, wire.clone(), None, standings.clone()).run_once(now_ms()).unwrap();
        Arc::new(Desk {
            standings,
            buckets: Mutex::default(),
            rate: Rate { per_minute: 1, burst: 1 },
            pseudonyms: PseudonymKey::new(&[1; 32], 0),
            tenant: "default".to_owned(),
            tenant_header: None,
            mode: FailureMode::Open,
            stale_ms_max: 60_000,
            began: Instant::now(),
            shared: Some(Shared {
                redis: Mutex::new(Redis { client: Client::new(&redis), rests_until: None }),
                waiters: Arc::new(Semaphore::new(REDIS_WAITERS_MAX)),
            }),
            metrics: Arc::new(Metrics::new()),
        })
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    const SLOW: AccountId = AccountId([1; 16]);
    const SUSPENDED: AccountId = AccountId([2; 16]);

    fn both() -> [(AccountId, StandingStatus); 2] {
        [(SLOW, StandingStatus::Limited), (SUSPENDED, StandingStatus::Suspended)]
    }

    #[test]
    fn while_too_many_wait_for_redis_a_server_counts_for_itself_and_others_do_not_wait_at_all() {
        let redis = TcpListener::bind("127.0.0.1:0").unwrap();
        redis.set_nonblocking(true).unwrap();
        let desk = desk(&both(), redis.local_addr().unwrap().to_string());
        let waiters = desk.shared.as_ref().unwrap().waiters.clone();
        let _waiting = waiters.try_acquire_many(REDIS_WAITERS_MAX as u32).unwrap();
        // Whoever waits holds the lock; whoever asks for it here waits for good.
        let _asking = desk.shared.as_ref().unwrap().redis.lock().unwrap();
        let answer = |account| runtime().block_on(desk.answer(vec![account], Transport::Http)).passes;
        assert_eq!(answer(SLOW), Passes::Yes);
        assert!(matches!(answer(SLOW), Passes::In(_)), "its burst is used up here");
        assert_eq!((answer(SUSPENDED), answer(AccountId([3; 16]))), (Passes::No(None), Passes::Yes));
        assert!(redis.accept().is_err(), "Redis was not asked");
    }

    #[test]
    fn a_request_whose_thread_fails_is_answered_from_memory_and_uses_nothing_up() {
        let desk = desk(&both(), "127.0.0.1:1".to_owned());
        let without_threads = runtime();
        let handle = without_threads.handle().clone();
        without_threads.shutdown_background();
        let answer = |accounts: Vec<AccountId>| {
            runtime().block_on(async {
                let _there = handle.enter();
                desk.answer(accounts, Transport::Http).await.passes
            })
        };
        assert_eq!(answer(vec![SLOW, SUSPENDED]), Passes::No(None));
        assert_eq!((answer(vec![SLOW]), answer(vec![SLOW])), (Passes::Yes, Passes::Yes));
    }

    fn tenant(values: &[&str]) -> Result<String, Unclear> {
        only_tenant(values.iter().map(|value| value.as_bytes()), "default")
    }

    fn keys(credentials: &[&[u8]]) -> Result<Vec<String>, Unclear> {
        keys_of(credentials.iter().copied()).map(|keys| keys.into_iter().collect())
    }

    #[test]
    fn a_tenant_that_is_not_said_is_the_configured_one_and_two_of_them_are_none() {
        assert_eq!(tenant(&[]).as_deref(), Ok("default"));
        for nothing in ["", " ", "-", " - "] {
            assert_eq!(tenant(&[nothing]).as_deref(), Ok("default"), "{nothing:?}");
        }
        assert_eq!(tenant(&[" acme "]).as_deref(), Ok("acme"), "as the collector reads it");
        assert_eq!(
            tenant(&["acme", "acme,acme"]).as_deref(),
            Ok("acme"),
            "it is one, however often it is said"
        );
        for several in [&["acme", "other"][..], &["acme,other"], &["acme", ""], &["-,acme"]] {
            assert_eq!(tenant(several), Err(Unclear::TooManyTenants), "{several:?}");
        }
        let broken = only_tenant([&b"acm\xff"[..]].into_iter(), "default");
        assert_eq!(broken.as_deref(), Ok("acm\u{fffd}"), "bytes that are no text name a tenant too");
    }

    #[test]
    fn a_key_is_found_however_long_or_broken_what_it_came_in_and_each_is_one() {
        let padded = format!("Bearer{}sk-one", " ".repeat(17_000));
        assert_eq!(keys(&[padded.as_bytes()]).unwrap(), ["sk-one"]);
        assert_eq!(keys(&[b"Bearer sk-\xff", b"sk-\xff"]).unwrap(), ["sk-\u{fffd}"]);
        assert_eq!(keys(&[b"Bearer sk-one", b"sk-one", b"bearer sk-one"]).unwrap(), ["sk-one"]);
        assert_eq!(keys(&[b"Bearer", b""]).unwrap(), [""; 0]);
    }

    #[test]
    fn keys_are_counted_once_and_more_than_anybody_has_are_refused() {
        let apart = |count: usize| (0..count).map(|number| format!("k{number}")).collect::<Vec<_>>();
        let found = |keys: &[String]| keys_of(keys.iter().map(|key| key.as_bytes())).map(|keys| keys.len());
        assert_eq!(found(&vec!["k".to_owned(); 1_000]), Ok(1));
        assert_eq!(found(&apart(KEYS_MAX)), Ok(KEYS_MAX));
        assert_eq!(found(&apart(KEYS_MAX + 1)), Err(Unclear::TooManyKeys));
        assert_eq!(found(&[apart(KEYS_MAX).join(",")]), Err(Unclear::TooManyKeys), "the whole is one more");
    }
}
