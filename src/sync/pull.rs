//! One model, page by page, from Odoo into the sink. A page that is in order and whole is kept at
//! once; what is in doubt is not.

use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::odoo::{Odoo, OdooError, ReadQuery, Record};
use crate::sync::error::SyncError;
use crate::sync::plan::Pull;
use crate::sync::sqlite_sink::{Run, Sink};
use crate::sync::step::Step;
use crate::sync::stop::Stop;
use crate::sync::sweep::Swept;

/// How often a call is made before it is given up, and how long to wait in between.
const PAUSES: &[Duration] = &[Duration::from_millis(500), Duration::from_secs(2)];

/// Pulls all of one model.
pub(super) async fn pull(
    odoo: &Odoo,
    (sink, run): (&mut Sink, &Run),
    pull: &Pull,
    (clock, until, stop): (&Clock, Moment, &mut Stop),
    say: &mut dyn FnMut(Step),
) -> Result<Swept, SyncError> {
    let model = pull.model();
    let mut sweep = sink.begin_sweep(run, pull.fields(), clock.now())?;
    say(Step::Pulling { model, records: sweep.records });
    while !sweep.is_done {
        if clock.now() >= until {
            return Err(SyncError::LeaseOver);
        }
        let query = pull.page_after(sweep.last_id)?;
        let page = fetch(odoo, model, &query, stop, say).await?;
        // A server that a stranger chose could send the same page for ever.
        let ids: Vec<i64> = std::iter::once(sweep.last_id).chain(page.iter().map(|r| r.id)).collect();
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(SyncError::OutOfOrder(model.to_owned()));
        }
        let is_last = Pull::is_last(page.len());
        sink.write_page(&mut sweep, page, clock.now())?;
        say(Step::Pulling { model, records: sweep.records });
        if is_last {
            break;
        }
    }
    let swept = sink.end_sweep(&mut sweep, clock.now())?;
    say(Step::Pulled { model, swept: &swept });
    Ok(swept)
}

/// One page; called again when the cause passes by itself. A wish to stop ends it at once: nothing of
/// it is in the sink yet.
async fn fetch(
    odoo: &Odoo,
    model: &str,
    query: &ReadQuery,
    stop: &mut Stop,
    say: &mut dyn FnMut(Step),
) -> Result<Vec<Record>, SyncError> {
    let mut pauses = PAUSES.iter();
    loop {
        let fetched = tokio::select! {
            biased;
            () = stop.raised() => return Err(SyncError::Stopped),
            fetched = odoo.fetch(query) => fetched,
        };
        let cause: OdooError = match fetched {
            Ok(page) => return Ok(page),
            Err(cause) => cause,
        };
        match pauses.next() {
            Some(pause) if cause.retryable() => {
                say(Step::Retrying { model, cause: cause.code() });
                tokio::select! {
                    biased;
                    () = stop.raised() => return Err(SyncError::Stopped),
                    () = tokio::time::sleep(*pause) => {}
                }
            }
            _ => return Err(SyncError::Odoo(model.to_owned(), cause)),
        }
    }
}
