//! Weir's own gRPC service: how an account stands, for programs that know it by its pseudonym or hold its key.

use super::answer::Desk;
use super::told::Told;
use crate::telemetry::Transport;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use weir_api::weir::v1::check_request::Who;
use weir_api::weir::v1::decisions_server::Decisions;
use weir_api::weir::v1::{CheckRequest, CheckResponse, Evidence, Status as Word};
use weir_enforcer::answer::decision::Status as Standing;
use weir_schemas::AccountId;

/// Answers programs.
pub struct Answers(pub Arc<Desk>);

#[tonic::async_trait]
impl Decisions for Answers {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let CheckRequest { who, look } = request.into_inner();
        // Whoever names an account shows none of its keys, and must not use anything of it up.
        let looks = look || matches!(who, Some(Who::Account(_)));
        let accounts = self.accounts(who)?;
        let answer = match (looks, accounts.as_slice()) {
            (true, [account]) => self.0.look(*account),
            (true, _) => {
                return Err(Status::invalid_argument(
                    "one account can be looked at: name it, or give one key",
                ));
            }
            (false, _) => self.0.answer(accounts, Transport::Grpc).await,
        };
        Ok(Response::new(response(Told::of(&answer))))
    }
}

impl Answers {
    fn accounts(&self, who: Option<Who>) -> Result<Vec<AccountId>, Status> {
        match who {
            Some(Who::Account(account)) => {
                let account = account.parse::<AccountId>();
                let account = account.map_err(|error| {
                    Status::invalid_argument(format!("an account is named by its pseudonym: {error}"))
                })?;
                Ok(vec![account])
            }
            Some(Who::Credentials(given)) => {
                let keys = given.keys.iter().map(String::as_bytes);
                let tenant = given.tenant.iter().map(String::as_bytes);
                self.0.accounts(tenant, keys).map_err(|error| {
                    self.0.refuse(Transport::Grpc);
                    Status::invalid_argument(error.to_string())
                })
            }
            None => Err(Status::invalid_argument("give an account, or the credentials of a request")),
        }
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
