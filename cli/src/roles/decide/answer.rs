//! How the accounts of a request stand, and whether it may pass.

use super::limits::{REDIS_REST, REDIS_WAITERS_MAX};
use super::whose::{Askers, Asking, CREDENTIAL_HEADERS, Terms, Unclear};
use crate::context::{Context, now_ms};
use crate::keys::CollectorKeys;
use crate::settings::FailureMode;
use crate::telemetry::{Metrics, Transport};
use anyhow::Result;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;
use weir_enforcer::act::redis::Client;
use weir_enforcer::answer::bucket::{Buckets, Rate};
use weir_enforcer::answer::decision::{Decision, Passes, Status};
use weir_enforcer::answer::holds::{Held, Holds};
use weir_enforcer::answer::standings::{Known, Standings};
use weir_schemas::AccountId;

/// What a gateway is told of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Whether it may pass.
    pub passes: Passes,
    /// The account that the answer is about: of several the one that counts; none where the request is
    /// nobody's.
    pub account: Option<AccountId>,
    /// How its account stands.
    pub decision: Decision,
    /// How old what is known is, in milliseconds; none where nothing was ever read.
    pub stale_ms: Option<i64>,
}

/// Answers gateways.
pub struct Desk {
    standings: Arc<Standings>,
    /// Whom early words have slowed down, where they may.
    holds: Option<Arc<Holds>>,
    buckets: Mutex<Buckets>,
    askers: Askers,
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
    /// A desk for the gateways of the tenants that the settings name.
    pub fn new(
        context: &Context,
        keys: &CollectorKeys,
        standings: Arc<Standings>,
        holds: Option<Arc<Holds>>,
    ) -> Result<Self> {
        let settings = &context.settings;
        Ok(Self {
            standings,
            holds,
            buckets: Mutex::new(Buckets::default()),
            askers: Askers::new(context, keys)?,
            stale_ms_max: i64::try_from(settings.decide_stale_ms_max)?,
            began: Instant::now(),
            shared: settings.decide_redis.as_deref().map(|address| Shared {
                redis: Mutex::new(Redis { client: Client::new(address), rests_until: None }),
                waiters: Arc::new(Semaphore::new(REDIS_WAITERS_MAX)),
            }),
            metrics: context.metrics.clone(),
        })
    }

    /// Who may ask.
    pub fn askers(&self) -> &Askers {
        &self.askers
    }

    /// Whether a request may pass whose headers have these `values`, by the name of each. Where nobody would
    /// know whose it is, it is counted as refused.
    pub async fn answer_to<'r, V: Iterator<Item = &'r [u8]>>(
        self: &'r Arc<Self>,
        transport: Transport,
        values: impl Fn(&'r str) -> V,
    ) -> Result<Answer, Unclear> {
        let tenants = self.askers.tenant_header().into_iter().flat_map(&values);
        let asking = self.askers.asking(tenants, CREDENTIAL_HEADERS.into_iter().flat_map(&values));
        match asking {
            Ok(asking) => Ok(self.answer(asking, transport).await),
            Err(error) => Err(self.refuse(transport, error)),
        }
    }

    /// How an account stands, for whoever names the tenant by these values. With a registry each is told of
    /// its own accounts only: of another tenant's nothing is known, as of one that is nobody's. Uses nothing
    /// up. Whoever is of no tenant is counted as refused.
    pub fn look_for<'c>(
        &self,
        transport: Transport,
        tenants: impl Iterator<Item = &'c [u8]>,
        account: AccountId,
    ) -> Result<Answer, Unclear> {
        let scope = self.askers.scope(tenants).map_err(|error| self.refuse(transport, error))?;
        let known = self.standings.get(account).filter(|known| scope.has(&known.tenant));
        let held = self.held(account, known.as_ref()).filter(|held| scope.has(&held.tenant));
        Ok(self.stands((account, known, held), scope.terms(), 1))
    }

    /// How one of the accounts stands whose keys were shown. Uses nothing up.
    pub fn look(&self, account: AccountId, asking: &Asking) -> Answer {
        self.look_at(account, &Asking { hits: 1, ..asking.clone() })
    }

    /// The same of a request that counts as it says. An early word that names another tenant than the
    /// account's is nobody's: protected tenants would be held by it.
    fn look_at(&self, account: AccountId, asking: &Asking) -> Answer {
        let known = self.standings.get(account);
        let held = self.held(account, known.as_ref()).filter(|held| held.tenant == asking.tenant);
        self.stands((account, known, held), asking.terms, asking.hits)
    }

    /// The hold on an account of which `known` is known.
    fn held(&self, account: AccountId, known: Option<&Known>) -> Option<Held> {
        self.holds.as_ref()?.on(account, known, now_ms())
    }

    fn stands(
        &self,
        (account, known, held): (AccountId, Option<Known>, Option<Held>),
        terms: Terms,
        hits: u32,
    ) -> Answer {
        let now_ms = now_ms();
        let decision = held.map_or_else(|| Decision::of(known, now_ms), Decision::of_held);
        let passes = match decision.status {
            Status::Suspended => Passes::No(decision.until_ms.map(|until_ms| until_ms - now_ms)),
            Status::RateLimited => {
                let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
                in_ms(buckets.wait_us(account, self.now_us(), terms.rate, hits))
            }
            Status::Ok | Status::Watch => Passes::Yes,
        };
        Answer { passes, account: Some(account), decision, stale_ms: self.standings.stale_ms(now_ms) }
    }

    /// Whether a request of these accounts may pass. Of several the gravest answer counts. Only for an
    /// account that is slowed down Redis is asked, in a thread that may wait, so that nobody else waits with
    /// it.
    pub async fn answer(self: &Arc<Self>, asking: Asking, transport: Transport) -> Answer {
        let is_to_count =
            |account: &AccountId| asking.hits > 0 && self.look_at(*account, &asking).is_to_count();
        let Some(shared) = self.shared.as_ref().filter(|_| asking.accounts.iter().any(is_to_count)) else {
            return self.ask(&asking, transport, Count::Own);
        };
        let Ok(waits) = shared.waiters.clone().try_acquire_owned() else {
            self.metrics.shared_bucket_failed();
            return self.ask(&asking, transport, Count::Own);
        };
        let (desk, asked) = (self.clone(), asking.clone());
        let waiting = tokio::task::spawn_blocking(move || {
            let answer = desk.ask(&asked, transport, Count::Shared);
            drop(waits);
            answer
        });
        waiting.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request is answered from memory alone; please report it");
            self.ask(&asking, transport, Count::Nothing)
        })
    }

    fn ask(&self, asking: &Asking, transport: Transport, count: Count) -> Answer {
        let stale_ms = self.standings.stale_ms(now_ms());
        let nothing =
            Answer { passes: Passes::Yes, account: None, decision: Decision::NOTHING_KNOWN, stale_ms };
        let terms = asking.terms;
        let answers = asking.accounts.iter().map(|account| self.ask_one(*account, asking, count));
        let mut answer = answers.max_by_key(|answer| answer.gravity()).unwrap_or(nothing);
        let is_known = stale_ms.is_some_and(|stale_ms| stale_ms <= self.stale_ms_max);
        if terms.mode == FailureMode::Closed && !is_known && answer.passes == Passes::Yes {
            answer.passes = Passes::Unknown;
            answer.account = None;
        }
        self.metrics.gateway_answered(transport, answer.passes);
        answer
    }

    /// A request was refused, because nobody would know whose it is; that it is counted.
    pub fn refuse(&self, transport: Transport, error: Unclear) -> Unclear {
        self.metrics.gateway_refused(transport, error.refused());
        error
    }

    fn ask_one(&self, account: AccountId, asking: &Asking, count: Count) -> Answer {
        let (Terms { rate, .. }, hits) = (asking.terms, asking.hits);
        let answer = self.look_at(account, asking);
        if answer.is_to_count() && hits > 0 && count != Count::Nothing {
            let shared = self.shared.as_ref().filter(|_| count == Count::Shared);
            if let Some(wait_us) = shared.and_then(|shared| self.ask_shared(shared, account, rate, hits)) {
                return Answer { passes: in_ms(Some(wait_us)), ..answer };
            }
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have used it up since the look.
            let now_us = self.now_us();
            match buckets.wait_us(account, now_us, rate, hits) {
                None => buckets.charge(account, now_us, rate, hits),
                wait_us => return Answer { passes: in_ms(wait_us), ..answer },
            }
        }
        answer
    }

    /// In how many microseconds the account may ask by what all servers let through; none where it may now,
    /// and where Redis does not answer: then each server counts for itself.
    fn ask_shared(&self, shared: &Shared, account: AccountId, rate: Rate, hits: u32) -> Option<i64> {
        let mut redis = shared.redis.lock().unwrap_or_else(PoisonError::into_inner);
        if redis.rests_until.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        match redis.client.take_tokens(account, rate, hits) {
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
            holds: None,
            buckets: Mutex::default(),
            askers: Askers::of_test(TERMS),
            stale_ms_max: 60_000,
            began: Instant::now(),
            shared: Some(Shared {
                redis: Mutex::new(Redis { client: Client::new(&redis), rests_until: None }),
                waiters: Arc::new(Semaphore::new(REDIS_WAITERS_MAX)),
            }),
            metrics: Arc::new(Metrics::new()),
        })
    }

    const TERMS: Terms = Terms { mode: FailureMode::Open, rate: Rate { per_minute: 1, burst: 1 } };

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    const SLOW: AccountId = AccountId([1; 16]);
    const SUSPENDED: AccountId = AccountId([2; 16]);

    fn both() -> [(AccountId, StandingStatus); 2] {
        [(SLOW, StandingStatus::Limited), (SUSPENDED, StandingStatus::Suspended)]
    }

    fn asking(accounts: Vec<AccountId>) -> Asking {
        Asking { tenant: "default".into(), accounts, terms: TERMS, hits: 1 }
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
        let answer = |account| runtime().block_on(desk.answer(asking(vec![account]), Transport::Http)).passes;
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
                desk.answer(asking(accounts), Transport::Http).await.passes
            })
        };
        assert_eq!(answer(vec![SLOW, SUSPENDED]), Passes::No(None));
        assert_eq!((answer(vec![SLOW]), answer(vec![SLOW])), (Passes::Yes, Passes::Yes));
    }
}
