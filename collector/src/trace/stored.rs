//! Which batch was committed last, as a record at the source's [place](crate::place): after a commit whose
//! outcome is not known, and after a restart, that tells what of a spool is there already. Each spool has a
//! record of its own, so that batches which go another way in between do not make it forgotten.

use crate::error::CollectorError;
use crate::limits::SPOOLS_REMEMBERED_MAX;
use crate::place::Place;
use crate::spool::{BatchId, SpoolId};
use weir_schemas::wire::Wire;
use weir_topology::log::Log;
use weir_topology::record::Output;

/// What sources that keep such a record are.
pub(super) const KIND: &str = "trace";

/// Version of the encoding of batches that are of no spool: run, number.
const FORMAT: i32 = 103;

/// Version of the encoding of batches of a spool: run, session, number, when it was committed.
const SPOOL_FORMAT: i32 = 104;

/// The record that says that a batch is committed.
pub(super) fn record(
    wire: &Wire,
    place: &Place,
    spool: Option<SpoolId>,
    batch: BatchId,
    now_ms: i64,
) -> Output {
    let number = batch.number.to_be_bytes();
    match spool {
        None => place.record(wire, "", FORMAT, [&batch.run[..], &number].concat(), now_ms),
        Some(spool) => {
            let session = batch.session.to_be_bytes();
            let body = [&batch.run[..], &session, &number, &now_ms.to_be_bytes()].concat();
            place.record(wire, &ending(spool), SPOOL_FORMAT, body, now_ms)
        }
    }
}

/// The batch that was committed last, of those that were of no spool.
pub(super) fn last(log: &dyn Log, place: &Place, wire: &Wire) -> Result<Option<BatchId>, CollectorError> {
    let is_own = |ending: &str| ending.is_empty().then_some(());
    let Some(body) = place.bodies(log, wire, FORMAT, is_own)?.remove(&()) else { return Ok(None) };
    let batch = body.split_first_chunk::<16>().and_then(|(run, number)| {
        let number = u64::from_be_bytes(number.try_into().ok()?);
        Some(BatchId { run: *run, session: 0, number })
    });
    batch.map(Some).ok_or_else(|| place.fault("it is torn"))
}

/// The batch of a spool that was committed last, and what makes the log forget the spools that were used the
/// longest ago, where there are too many.
pub(super) fn last_of(
    log: &dyn Log,
    place: &Place,
    wire: &Wire,
    spool: SpoolId,
    now_ms: i64,
) -> Result<(Option<BatchId>, Vec<Output>), CollectorError> {
    let (mut last, mut others) = (None, Vec::new());
    for (of, body) in place.bodies(log, wire, SPOOL_FORMAT, spool_of)? {
        let (batch, committed_ms) = batch_of(&body).ok_or_else(|| place.fault("it is torn"))?;
        match of == spool {
            true => last = Some(batch),
            false => others.push((committed_ms, of)),
        }
    }
    others.sort_unstable();
    let too_many = (others.len() + 1).saturating_sub(SPOOLS_REMEMBERED_MAX);
    let forgotten = others.iter().take(too_many).map(|(_, of)| place.tombstone(&ending(*of), now_ms));
    Ok((last, forgotten.collect()))
}

fn batch_of(body: &[u8]) -> Option<(BatchId, i64)> {
    let (run, rest) = body.split_first_chunk::<16>()?;
    let (session, rest) = rest.split_first_chunk::<8>()?;
    let (number, committed_ms) = rest.split_first_chunk::<8>()?;
    let [session, number] = [session, number].map(|bytes| u64::from_be_bytes(*bytes));
    let committed_ms = i64::from_be_bytes(committed_ms.try_into().ok()?);
    Some((BatchId { run: *run, session, number }, committed_ms))
}

/// What the key of a spool's record ends with.
fn ending(spool: SpoolId) -> String {
    format!("/spool/{:032x}", u128::from_be_bytes(spool.0))
}

fn spool_of(ending: &str) -> Option<SpoolId> {
    let digits = ending.strip_prefix("/spool/").filter(|digits| digits.len() == 32)?;
    Some(SpoolId(u128::from_str_radix(digits, 16).ok()?.to_be_bytes()))
}
