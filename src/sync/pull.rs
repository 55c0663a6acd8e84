//! One model, page by page, from Odoo into the sink, the next page fetched while one is written. A page
//! that is in order and whole is kept at once; what is in doubt is not.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::clock::Clock;
use crate::odoo::{Cell, Odoo, OdooError, ReadQuery, Record};
use crate::sync::error::SyncError;
use crate::sync::hold::Hold;
use crate::sync::plan::{AT_ONCE, Part, page_size};
use crate::sync::sink::{Desk, Known, Listed, Missing, Page};
use crate::sync::stamp::Stamp;
use crate::sync::step::Step;
use crate::sync::sweep::{Count, Pass, Place, Sweep, Swept};

/// How often a call is made before it is given up, and how long to wait in between.
const PAUSES: &[Duration] = &[Duration::from_millis(500), Duration::from_secs(2)];
/// How far a server's clock may be ahead of ours. A `write_date` beyond that is no watermark: nothing
/// would be newer.
const AHEAD: Duration = Duration::from_secs(24 * 3_600);

/// Between one Odoo and one sink.
pub(super) struct Puller<'a> {
    pub odoo: &'a Odoo,
    pub desk: &'a Desk,
    pub hold: &'a Hold<'a>,
    pub clock: &'a Clock,
    pub most_pages: u32,
    pub accepts_removals: bool,
    pub say: RefCell<&'a mut dyn FnMut(Step)>,
}

impl Puller<'_> {
    /// Brings the sink's copy of a model to what Odoo holds, or to what it held a moment after this
    /// began.
    pub async fn pull(&self, part: &Part, whole: bool) -> Result<Swept, SyncError> {
        let mut count = Count::default();
        let mut known = self.known(part).await?;
        if let Some(unfinished) = known.unfinished {
            // Another run began it, and what it had passed may have changed since: the sweep after it
            // finds that.
            count = self.sweep(part, unfinished).await?.count;
            known = self.known(part).await?;
        }
        let now = self.clock.now();
        let whole = whole || part.always_whole;
        let sweep = Sweep {
            model: part.model().to_owned(),
            began_at: now,
            newest: self.newest(part).await?,
            place: Place::start(if whole { Pass::Whole } else { Pass::first(&known, now) }),
            count: Count::default(),
        };
        let begun = sweep.clone();
        self.desk.with(move |sink| sink.begin_sweep(&begun)).await?;
        let Swept { records, count: more } = self.sweep(part, sweep).await?;
        let swept = Swept { records, count: count.and(more) };
        self.say(Step::Pulled { model: part.model(), swept: &swept });
        Ok(swept)
    }

    async fn known(&self, part: &Part) -> Result<Known, SyncError> {
        let fields = part.fields().clone();
        Ok(self.desk.with(move |sink| sink.known(&fields)).await?)
    }

    /// The newest `write_date`: the watermark of a sweep that begins now, by the server's clock alone.
    pub(super) async fn newest(&self, part: &Part) -> Result<Option<Stamp>, SyncError> {
        let until = Stamp::of(self.clock.now().after(AHEAD));
        let strange = || SyncError::NotAsked(part.model().to_owned());
        let found = self.fetch(part.model(), &part.newest(until)?).await?;
        let cells = match found.as_slice() {
            [] => return Ok(None),
            [one] => one.cells.as_slice(),
            _ => return Err(strange()),
        };
        let newest = match cells {
            [Cell::Text(text)] => Stamp::parse(text),
            _ => None,
        };
        newest.filter(|newest| *newest <= until).map(Some).ok_or_else(strange)
    }

    /// Goes on with a sweep until it is whole.
    async fn sweep(&self, part: &Part, mut sweep: Sweep) -> Result<Swept, SyncError> {
        self.say(Step::Pulling { model: part.model(), records: sweep.count.read });
        let mut page = self.page(part, sweep.place).await?;
        for _ in 0..self.most_pages {
            let next = page.next;
            sweep = match next {
                Some(next) => {
                    let (kept, fetched) = both(self.keep(part, sweep, page), self.page(part, next)).await?;
                    page = fetched;
                    kept
                }
                None => {
                    self.check_it_was_shown(part, &sweep).await?;
                    let sweep = self.keep(part, sweep, page).await?;
                    self.settle_missing(part).await?;
                    self.hold.check()?;
                    return Ok(self.desk.with(move |sink| sink.end_sweep(sweep)).await?);
                }
            };
            self.say(Step::Pulling { model: part.model(), records: sweep.count.read });
        }
        Err(SyncError::Endless(part.model().to_owned()))
    }

    /// The page after `place`.
    async fn page(&self, part: &Part, place: Place) -> Result<Fetched, SyncError> {
        let records = self.fetch(part.model(), &part.page(place)?).await?;
        let asked = usize::try_from(page_size(place.pass).get()).unwrap_or(usize::MAX);
        let ids: Vec<i64> = records.iter().map(|record| record.id).collect();
        // It could also send the same page for ever.
        if !is_rising(place.last_id, &ids) || ids.len() > asked {
            return Err(SyncError::NotAsked(part.model().to_owned()));
        }
        let last_id = ids.last().copied();
        // A short page is not the last one: records can be left out of it, and a gateway may cap it.
        let next = last_id.map_or_else(|| place.next_pass(), |last_id| Some(place.after(last_id)));
        let missing = match place.pass {
            Pass::Changed { .. } => Missing::Unknown,
            Pass::Whole | Pass::Listed => {
                Missing::AllBut { after: place.last_id, to: last_id.unwrap_or(i64::MAX), there: ids }
            }
        };
        Ok(Fetched { records, missing, next })
    }

    /// Writes a page; of a listing, first what the sink lacks of it.
    async fn keep(&self, part: &Part, mut sweep: Sweep, page: Fetched) -> Result<Sweep, SyncError> {
        let Fetched { mut records, missing, next } = page;
        if sweep.place.pass == Pass::Listed {
            let listed: Vec<Listed> = std::mem::take(&mut records).into_iter().map(listed).collect();
            let model = sweep.model.clone();
            let differing = self.desk.with(move |sink| sink.differing(&model, &listed)).await?;
            let at_once = usize::try_from(AT_ONCE.get()).unwrap_or(usize::MAX);
            for asked in differing.chunks(at_once) {
                sweep = self.fetch_again(part, sweep, asked.to_vec()).await?;
            }
        }
        sweep.place = next.unwrap_or(sweep.place);
        self.write(sweep, Page { records, missing }).await
    }

    /// Reads and writes what the listing showed to be new, changed or late.
    async fn fetch_again(
        &self,
        part: &Part,
        mut sweep: Sweep,
        mut asked: Vec<i64>,
    ) -> Result<Sweep, SyncError> {
        loop {
            let (records, ids) = self.fetch_of(part, &part.these(asked.clone())?, &asked).await?;
            let is_last = ids.is_empty();
            asked.retain(|id| ids.binary_search(id).is_err());
            let missing = if is_last { Missing::These(asked.clone()) } else { Missing::Unknown };
            sweep = self.write(sweep, Page { records, missing }).await?;
            if is_last || asked.is_empty() {
                return Ok(sweep);
            }
        }
    }

    /// Records of which none is another than those, and their ids.
    pub(super) async fn fetch_of(
        &self,
        part: &Part,
        query: &ReadQuery,
        those: &[i64],
    ) -> Result<(Vec<Record>, Vec<i64>), SyncError> {
        let records = self.fetch(part.model(), query).await?;
        let ids: Vec<i64> = records.iter().map(|record| record.id).collect();
        if !is_rising(0, &ids) || ids.iter().any(|id| those.binary_search(id).is_err()) {
            return Err(SyncError::NotAsked(part.model().to_owned()));
        }
        Ok((records, ids))
    }

    async fn write(&self, sweep: Sweep, page: Page) -> Result<Sweep, SyncError> {
        self.hold.check()?;
        Ok(self.desk.with(move |sink| sink.write(sweep, page)).await?)
    }

    /// One answer; asked for again when the cause passes by itself.
    async fn fetch(&self, model: &str, query: &ReadQuery) -> Result<Vec<Record>, SyncError> {
        let mut pauses = PAUSES.iter();
        loop {
            let cause: OdooError = match self.odoo.fetch(query).await {
                Ok(page) => return Ok(page),
                Err(cause) => cause,
            };
            match pauses.next() {
                Some(pause) if cause.retryable() => {
                    self.say(Step::Retrying { model, cause: cause.code() });
                    tokio::time::sleep(*pause).await;
                }
                _ => return Err(SyncError::Odoo(model.to_owned(), cause)),
            }
        }
    }

    fn say(&self, step: Step) {
        (self.say.borrow_mut())(step);
    }
}

/// A page, what it says of ids that are not on it, and what comes after it.
struct Fetched {
    records: Vec<Record>,
    missing: Missing,
    next: Option<Place>,
}

fn is_rising(after: i64, ids: &[i64]) -> bool {
    std::iter::once(&after).chain(ids).is_sorted_by(|a, b| a < b)
}

fn listed(record: Record) -> Listed {
    let written = record.cells.into_iter().next().and_then(|cell| match cell {
        Cell::Text(text) => Some(text.into()),
        _ => None,
    });
    Listed { id: record.id, written }
}

/// Keeps one page and fetches the next at once. What the sink says comes first, and ends the other.
async fn both<A, B>(
    keeping: impl Future<Output = Result<A, SyncError>>,
    fetching: impl Future<Output = Result<B, SyncError>>,
) -> Result<(A, B), SyncError> {
    let (mut keeping, mut fetching) = (pin!(keeping), pin!(fetching));
    tokio::select! {
        kept = &mut keeping => Ok((kept?, fetching.await?)),
        fetched = &mut fetching => Ok((keeping.await?, fetched?)),
    }
}
