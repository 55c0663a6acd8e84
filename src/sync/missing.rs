//! What no page of a sweep showed: asked for once more before anything is removed, and not removed by
//! itself when it is much. A record can be left out of a page, a company taken from the bot, an answer
//! be empty for a moment.

use crate::sync::error::SyncError;
use crate::sync::plan::{AT_ONCE, Part};
use crate::sync::pull::Puller;
use crate::sync::sink::Loss;
use crate::sync::sweep::Sweep;

/// So many records of a model may go without a question,
const FEW: u64 = 100;
/// or one in so many.
const ONE_IN: u64 = 5;

impl Puller<'_> {
    /// A model of which a record was shown as the newest can't be empty, unless it became so meanwhile.
    pub(super) async fn check_it_was_shown(&self, part: &Part, sweep: &Sweep) -> Result<(), SyncError> {
        let is_strange = sweep.place.last_id == 0 && sweep.newest.is_some();
        if is_strange && self.newest(part).await?.is_some() {
            return Err(SyncError::Contradiction(part.model().to_owned()));
        }
        Ok(())
    }

    /// Leaves as missing what Odoo does not show when asked for it by id.
    pub(super) async fn settle_missing(&self, part: &Part) -> Result<(), SyncError> {
        let mut after = 0;
        loop {
            let missing = self.missing(part, after).await?;
            let Some(last) = missing.last().copied() else { break };
            let (_, there) = self.fetch_of(part, &part.there(missing.clone())?, &missing).await?;
            if there.is_empty() {
                after = last;
                continue;
            }
            // That may not be all of them: asked again until none of the rest is.
            let model = part.model().to_owned();
            self.desk.with(move |sink| sink.found(&model, &there)).await?;
        }
        let model = part.model().to_owned();
        let loss = self.desk.with(move |sink| sink.loss(&model)).await?;
        if loss.is_much() && !self.accepts_removals {
            let Loss { missing, of } = loss;
            return Err(SyncError::MassRemoval { model: part.model().to_owned(), missing, of });
        }
        Ok(())
    }

    async fn missing(&self, part: &Part, after: i64) -> Result<Vec<i64>, SyncError> {
        let model = part.model().to_owned();
        Ok(self.desk.with(move |sink| sink.missing(&model, after, AT_ONCE.get())).await?)
    }
}

impl Loss {
    fn is_much(self) -> bool {
        self.missing > FEW.max(self.of / ONE_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_hundred_and_a_fifth_is_much() {
        for (missing, of, is_much) in [
            (0, 0, false),
            (100, 100, false),
            (101, 101, true),
            (101, 505, false),
            (102, 505, true),
            (1_000, 5_000, false),
            (1_001, 5_000, true),
        ] {
            assert_eq!(Loss { missing, of }.is_much(), is_much, "{missing} of {of}");
        }
    }
}
