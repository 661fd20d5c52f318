//! Envoy's rate-limit service: the same answers in its two words, OK and OVER_LIMIT.
//!
//! A descriptor's entries are headers of the request, each under the header's name. All descriptors of a
//! question are of one request: it uses one up, or as many as `hits_addend` says, however many of them name
//! its account.

use super::super::answer::{Answer, Desk};
use super::super::limits::{DESCRIPTORS_MAX, HITS_MAX};
use super::super::told::Told;
use super::super::whose::{Asking, CREDENTIAL_HEADERS, Terms, Unclear};
use super::{Refusal, header, metadata};
use crate::telemetry::Transport;
use prost_types::Duration;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use weir_api::envoy::config::core::v3::HeaderValue;
use weir_api::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use weir_api::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use weir_api::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit as Limit,
};
use weir_api::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
use weir_api::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use weir_enforcer::answer::decision::Passes;
use weir_schemas::AccountId;

/// Name under which the limit of an account that is slowed down is told.
const LIMIT_NAME: &str = "weir";

/// Answers Envoy's filter `ratelimit`.
pub struct RateLimit(pub Arc<Desk>);

#[tonic::async_trait]
impl RateLimitService for RateLimit {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let RateLimitRequest { domain, descriptors, hits_addend } = request.into_inner();
        if domain.is_empty() || descriptors.is_empty() {
            return Err(Status::invalid_argument("a question has a domain and at least one descriptor"));
        }
        if descriptors.len() > DESCRIPTORS_MAX {
            let reason = format!("a question has at most {DESCRIPTORS_MAX} descriptors");
            return Err(Status::invalid_argument(reason));
        }
        let (all, each) = match self.asking(&descriptors) {
            Ok(asking) => asking,
            Err(error) => {
                self.0.refuse(Transport::RateLimit, error);
                let statuses = vec![over_limit(None); descriptors.len()];
                return Ok(Response::new(refused(&Refusal::unclear(error), statuses)));
            }
        };
        let all = Asking { hits: hits(hits_addend, &descriptors), ..all };
        let answer = self.0.answer(all.clone(), Transport::RateLimit).await;
        let told = Told::of(&answer);
        let response = match Refusal::of(&told) {
            None => RateLimitResponse {
                overall_code: Code::Ok.into(),
                statuses: vec![within(); descriptors.len()],
                ..RateLimitResponse::default()
            },
            Some(refusal) => {
                let statuses =
                    each.iter().map(|accounts| self.status(accounts, &all, &answer, &told)).collect();
                refused(&refusal, statuses)
            }
        };
        Ok(Response::new(RateLimitResponse { dynamic_metadata: Some(metadata(&told)), ..response }))
    }
}

impl RateLimit {
    /// Whose the request is, and the accounts that each descriptor names. Its tenant is what any of them
    /// says: they are of one request. Together they have no more keys than a request may have.
    fn asking(&self, descriptors: &[RateLimitDescriptor]) -> Result<(Asking, Vec<Vec<AccountId>>), Unclear> {
        let askers = self.0.askers();
        let tenants: Vec<&[u8]> =
            askers.tenant_header().into_iter().flat_map(|name| values(descriptors, name)).collect();
        let asking = |descriptors| {
            let credentials = CREDENTIAL_HEADERS.into_iter().flat_map(|name| values(descriptors, name));
            askers.asking(tenants.iter().copied(), credentials)
        };
        let all = asking(descriptors)?;
        let each = descriptors.chunks(1).map(|descriptor| asking(descriptor).map(|one| one.accounts));
        Ok((all, each.collect::<Result<_, Unclear>>()?))
    }

    /// How it is with a descriptor of a request that does not pass.
    fn status(&self, accounts: &[AccountId], all: &Asking, answer: &Answer, told: &Told) -> DescriptorStatus {
        let is_answer = answer.account.is_none_or(|account| accounts.contains(&account));
        if is_answer {
            let limit = matches!(answer.passes, Passes::In(_)).then(|| limit_of(all.terms));
            return DescriptorStatus { duration_until_reset: wait_of(told), ..over_limit(limit) };
        }
        let passes = accounts.iter().all(|account| self.0.look(*account, all).passes == Passes::Yes);
        if passes { within() } else { over_limit(None) }
    }
}

/// As how many requests the question counts: the most that a descriptor says, or where it says nothing the
/// question; one where neither does. Negative hits would give back what was used up, which nobody may: they
/// use nothing up.
fn hits(of_question: u32, descriptors: &[RateLimitDescriptor]) -> u32 {
    let of_question = u64::from(of_question.max(1));
    let each = descriptors.iter().map(|descriptor| match descriptor.hits_addend {
        _ if descriptor.is_negative_hits => 0,
        Some(hits) => hits,
        None => of_question,
    });
    each.max().map_or(1, |hits| u32::try_from(hits).unwrap_or(HITS_MAX).min(HITS_MAX))
}

fn limit_of(terms: Terms) -> Limit {
    Limit { name: LIMIT_NAME.into(), requests_per_unit: terms.rate.per_minute, unit: Unit::Minute.into() }
}

/// The values of the entries that are this header.
fn values<'d>(descriptors: &'d [RateLimitDescriptor], name: &'d str) -> impl Iterator<Item = &'d [u8]> {
    let entries = descriptors.iter().flat_map(|descriptor| &descriptor.entries);
    entries.filter(move |entry| entry.key.eq_ignore_ascii_case(name)).map(|entry| entry.value.as_bytes())
}

fn within() -> DescriptorStatus {
    DescriptorStatus { code: Code::Ok.into(), ..DescriptorStatus::default() }
}

fn over_limit(current_limit: Option<Limit>) -> DescriptorStatus {
    DescriptorStatus { code: Code::OverLimit.into(), current_limit, ..DescriptorStatus::default() }
}

/// When it is worth while to ask again.
fn wait_of(told: &Told) -> Option<Duration> {
    let ms = told.retry_after_ms?;
    let nanos = i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    Some(Duration { seconds: ms.div_euclid(1_000), nanos })
}

fn refused(refusal: &Refusal, statuses: Vec<DescriptorStatus>) -> RateLimitResponse {
    let headers: Vec<HeaderValue> = refusal.headers().map(|(key, value)| header(key, value)).collect();
    RateLimitResponse {
        overall_code: Code::OverLimit.into(),
        statuses,
        response_headers_to_add: headers,
        raw_body: refusal.body.clone().into_bytes(),
        ..RateLimitResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_counts_as_the_most_that_is_said_of_it_and_gives_nothing_back() {
        let descriptor = |hits_addend| RateLimitDescriptor { hits_addend, ..RateLimitDescriptor::default() };
        let back = RateLimitDescriptor { is_negative_hits: true, ..descriptor(Some(9)) };
        for (of_question, descriptors, expected) in [
            (0, vec![descriptor(None)], 1),
            (5, vec![descriptor(None)], 5),
            (5, vec![descriptor(Some(2))], 2),
            (5, vec![descriptor(Some(2)), descriptor(None)], 5),
            (0, vec![descriptor(Some(0))], 0),
            (5, vec![back.clone()], 0),
            (0, vec![back, descriptor(Some(3))], 3),
            (u32::MAX, vec![descriptor(None)], HITS_MAX),
            (0, vec![descriptor(Some(u64::MAX))], HITS_MAX),
        ] {
            assert_eq!(hits(of_question, &descriptors), expected, "{of_question} {descriptors:?}");
        }
    }
}
