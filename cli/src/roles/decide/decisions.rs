//! Weir's own gRPC service: how an account stands, for programs that know it by its pseudonym or hold its key.

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
        let CheckRequest { who, look, tenant } = request.into_inner();
        let answer = match who {
            Some(Who::Account(account)) => self.named(&account, tenant.as_deref())?,
            Some(Who::Credentials(given)) => {
                let asking = self.asking(&given, tenant.as_deref())?;
                match (look, asking.accounts.as_slice()) {
                    (true, [account]) => self.0.look(*account, asking.terms),
                    (true, _) => {
                        let reason = "one account can be looked at: name it, or give one key";
                        return Err(Status::invalid_argument(reason));
                    }
                    (false, _) => self.0.answer(asking, Transport::Grpc).await,
                }
            }
            None => {
                return Err(Status::invalid_argument("give an account, or the credentials of a request"));
            }
        };
        Ok(Response::new(response(Told::of(&answer))))
    }
}

impl Answers {
    /// Whoever names an account shows none of its keys, and must not use anything of it up.
    fn named(&self, account: &str, tenant: Option<&str>) -> Result<Answer, Status> {
        let account = account.parse::<AccountId>().map_err(|error| {
            Status::invalid_argument(format!("an account is named by its pseudonym: {error}"))
        })?;
        let tenants = tenant.into_iter().map(str::as_bytes);
        self.0.look_for(Transport::Grpc, tenants, account).map_err(refused)
    }

    fn asking(&self, given: &Credentials, tenant: Option<&str>) -> Result<Asking, Status> {
        let tenants = given.tenant.as_deref().into_iter().chain(tenant).map(str::as_bytes);
        let asking = self.0.askers().asking(tenants, given.keys.iter().map(String::as_bytes));
        asking.map_err(|error| refused(self.0.refuse(Transport::Grpc, error)))
    }
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
