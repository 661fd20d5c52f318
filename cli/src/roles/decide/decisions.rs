//! Weir's own gRPC service: how an account stands, for programs that know it by its pseudonym or hold its
//! key.

use super::answer::{Answer, Desk};
use super::told::Told;
use super::whose::{Asking, Unclear};
use crate::telemetry::Transport;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use weir_api::weir::v1::check_request::Who;
use weir_api::weir::v1::decisions_server::Decisions;
use weir_api::weir::v1::{CheckRequest, CheckResponse, Credentials, Evidence, Status as Word};
use weir_enforcer::answer::decision::Status as Standing;
use weir_schemas::AccountId;

/// Answers programs.
pub struct Answers(pub Arc<Desk>);

#[tonic::async_trait]
impl Decisions for Answers {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let answer = check(&self.0, request.into_inner(), Transport::Grpc).await?;
        Ok(Response::new(response(Told::of(&answer))))
    }
}

/// What a program is told that asks by `transport`.
pub async fn check(
    desk: &Arc<Desk>,
    CheckRequest { who, look, tenant }: CheckRequest,
    transport: Transport,
) -> Result<Answer, Status> {
    match who {
        Some(Who::Account(account)) => named(desk, &account, tenant.as_deref(), transport),
        Some(Who::Credentials(given)) => {
            let asking = asking(desk, &given, tenant.as_deref(), transport)?;
            match (look, asking.accounts.as_slice()) {
                (true, [account]) => Ok(desk.look(*account, &asking)),
                (true, _) => {
                    let reason = "one account can be looked at: name it, or give one key";
                    Err(Status::invalid_argument(reason))
                }
                (false, _) => Ok(desk.answer(asking, transport).await),
            }
        }
        None => Err(Status::invalid_argument("give an account, or the credentials of a request")),
    }
}

/// Whoever names an account shows none of its keys, and must not use anything of it up.
fn named(desk: &Desk, account: &str, tenant: Option<&str>, transport: Transport) -> Result<Answer, Status> {
    let account = account.parse::<AccountId>().map_err(|error| {
        Status::invalid_argument(format!("an account is named by its pseudonym: {error}"))
    })?;
    let tenants = tenant.into_iter().map(str::as_bytes);
    desk.look_for(transport, tenants, account).map_err(refused)
}

fn asking(
    desk: &Desk,
    given: &Credentials,
    tenant: Option<&str>,
    transport: Transport,
) -> Result<Asking, Status> {
    let tenants = given.tenant.as_deref().into_iter().chain(tenant).map(str::as_bytes);
    let asking = desk.askers().asking(tenants, given.keys.iter().map(String::as_bytes));
    asking.map_err(|error| refused(desk.refuse(transport, error)))
}

/// Nobody would know whose the request is.
fn refused(error: Unclear) -> Status {
    match error {
        Unclear::TooManyKeys | Unclear::TooManyTenants => Status::invalid_argument(error.to_string()),
        Unclear::Stranger(_) => Status::permission_denied(error.to_string()),
    }
}

fn response(told: Told) -> CheckResponse {
    let status = match told.standing {
        None => Word::Unknown,
        Some(Standing::Ok) => Word::Ok,
        Some(Standing::Watch) => Word::Watch,
        Some(Standing::RateLimited) => Word::RateLimited,
        Some(Standing::Suspended) => Word::Suspended,
    };
    CheckResponse {
        status: status.into(),
        passes: told.passes(),
        retry_after_ms: told.retry_after_ms,
        since_ms: told.since_ms,
        until_ms: told.until_ms,
        action_id: told.action_id,
        verdict_id: told.verdict_id,
        stale_ms: told.stale_ms,
        evidence: told
            .evidence
            .map(|evidence| Evidence { score: evidence.score, families: evidence.families.clone() }),
    }
}
