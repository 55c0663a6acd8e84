//! A whole stretch of a chain, handed out in pieces of some hundred events, each read when whoever takes it is ready
//! for it, and takes it in the time there is. What is handed out was there when the export was put on record.

use crate::access::{Action, Scope};
use crate::audit::{
    Actor, EXPORT, Hash, Head, Last, Leaf, Line, WitnessedNote, csv_head, csv_line, hex_of, line_of,
};
use crate::clock::Moment;
use crate::error::Error;
use crate::store::{OrgProof, RawEvent, Store, StoreError, Stretch, Tx};
use crate::vault::exports::{Place, Watched};
use crate::vault::trail::{SLACK, TrailFilter};
use crate::vault::{DEADLINE, Vault};

/// So many events are in memory of each.
const PIECE: i64 = 500;

/// As what a trail is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// For spreadsheets.
    Csv,
    /// To be verified.
    Jsonl,
}

impl ExportFormat {
    /// Every name there is.
    pub const NAMES: &[&str] = &["csv", "jsonl"];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Csv, Self::Jsonl].into_iter().find(|format| format.as_str() == text)
    }
}

/// What is exported: the events of that time, and neighbours of some minutes, so that the chain has no gap.
#[derive(Clone, Copy, Debug)]
pub struct ExportAsk {
    /// As what.
    pub format: ExportFormat,
    /// Not much before.
    pub from: Option<Moment>,
    /// Not much after.
    pub to: Option<Moment>,
    /// With the proof that the log goes on from so many leaves, as a checkpoint had that somebody kept.
    pub since_size: Option<u64>,
}

impl ExportAsk {
    /// As the trail tells it.
    pub(super) fn told(&self) -> String {
        let filter = TrailFilter { from: self.from, to: self.to, ..TrailFilter::default() };
        let mut more = vec![("format", self.format.as_str().into())];
        more.extend(self.since_size.map(|size| ("since_size", size.to_string())));
        filter.told(&more).unwrap_or_default()
    }
}

/// An export, to be taken piece by piece.
pub struct Export {
    store: Store,
    scope: Scope,
    ask: ExportAsk,
    stretch: Stretch,
    at: At,
    place: Option<Place>,
}

#[derive(Clone, Copy)]
enum At {
    Head,
    After(i64),
    Last,
    End,
}

impl Vault {
    /// Begins an export of the org's trail, which is on record when this answers.
    pub async fn export_trail(&self, actor: &Actor, ask: ExportAsk) -> Result<Export, Error> {
        let scope = self.allow(actor, Action::ReadAudit).await?;
        let place = self.exports.place(scope.org())?;
        let export = Export::open(&self.store, scope.clone(), ask, Some(place)).await?;
        let (told, rows) = (ask.told(), export.rows().to_string());
        let told = [("filter", told.as_str()), ("rows", rows.as_str())];
        self.record_reading(actor, scope, "audit.export", &told).await?;
        Ok(export)
    }
}

impl Export {
    /// Looks up what is to be handed out. Nothing is on record yet.
    async fn open(store: &Store, scope: Scope, ask: ExportAsk, place: Option<Place>) -> Result<Self, Error> {
        let find = move |tx: &mut Tx| tx.find_stretch((ask.from, ask.to), SLACK, ask.since_size);
        let stretch = store.view("find stretch", scope.clone(), DEADLINE, find).await?;
        Ok(Self { store: store.clone(), scope, ask, stretch, at: At::Head, place })
    }

    /// The same for a command on the host, which may open as many as it likes.
    pub(super) async fn open_on_host(store: &Store, scope: Scope, ask: ExportAsk) -> Result<Self, Error> {
        Self::open(store, scope, ask, None).await
    }

    /// How many events it has.
    pub fn rows(&self) -> i64 {
        self.stretch.last - self.stretch.first + 1
    }

    /// The signed note that covers it, if there is one yet.
    pub fn checkpoint(&self) -> Option<&str> {
        self.stretch.proof.as_ref().map(|proof| proof.note.as_str())
    }

    /// It, to look at while somebody takes it; none of one that takes its time on the host.
    pub fn watched(&self) -> Option<Watched> {
        self.place.as_ref().map(Place::watched)
    }

    /// Notes that something of it was taken. An error, where that took too long or the whole has: then there is no more.
    pub fn note_taken(&self) -> Result<(), Error> {
        self.place.as_ref().map_or(Ok(()), Place::note_taken)
    }

    /// The next piece; `None` after the last. After an error there is none.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        let piece = self.read_next().await;
        self.place.iter().for_each(Place::note_given);
        piece
    }

    async fn read_next(&mut self) -> Result<Option<String>, Error> {
        match self.at {
            At::Head => {
                self.at = At::After(self.stretch.first - 1);
                Ok(Some(self.head()))
            }
            At::After(last) if last >= self.stretch.last => {
                self.at = At::Last;
                Box::pin(self.read_next()).await
            }
            At::After(last) => {
                let rows = self.read(last).await?;
                // Of a chain that ends too early what is there is handed out: who verifies it sees that.
                self.at = At::After(rows.last().map_or(self.stretch.last, |row| row.seq));
                Ok(Some(rows.iter().map(|row| self.row(row)).collect()))
            }
            At::Last => {
                self.at = At::End;
                Ok(match self.ask.format {
                    ExportFormat::Jsonl => Some(line_of(&last_of(self.stretch.proof.as_ref()))),
                    ExportFormat::Csv => None,
                })
            }
            At::End => Ok(None),
        }
    }

    async fn read(&self, after: i64) -> Result<Vec<RawEvent>, Error> {
        let _turn = match &self.place {
            Some(place) => place.turn().await,
            None => None,
        };
        let upto = self.stretch.last;
        let read = move |tx: &mut Tx| {
            let mut chain = tx.chain();
            let rows = chain.find_raw(after, upto, PIECE)?;
            let is_next = rows.first().is_some_and(|row| row.seq == after + 1);
            if !is_next && chain.find_boundary()?.is_some_and(|boundary| boundary.seq > after) {
                return Err(StoreError::Unavailable("the trail was pruned meanwhile"));
            }
            Ok(rows)
        };
        Ok(self.store.view("export trail", self.scope.clone(), DEADLINE, read).await?)
    }

    fn head(&self) -> String {
        if self.ask.format == ExportFormat::Csv {
            return csv_head();
        }
        let proof = self.stretch.proof.as_ref();
        let leaf = proof.and_then(|proof| proof.leaf.as_ref());
        line_of(&Head {
            pawl_audit_export: EXPORT.into(),
            org: self.scope.org().to_string(),
            first_seq: self.stretch.first,
            last_seq: self.stretch.last,
            prev_hash: self.stretch.prev_hash,
            salt: leaf.and_then(|leaf| Hash::from_bytes(&leaf.salt)),
            public_key: proof.map(|proof| proof.public_key.clone()),
        })
    }

    fn row(&self, row: &RawEvent) -> String {
        let (event, hash) = (String::from_utf8_lossy(&row.event), hex_of(&row.hash));
        match self.ask.format {
            ExportFormat::Csv => csv_line(row.seq, &event, &hash),
            ExportFormat::Jsonl => {
                let prev_hash = hex_of(&row.prev_hash).into();
                line_of(&Line { seq: row.seq, event, prev_hash, hash: hash.into() })
            }
        }
    }
}

fn last_of(proof: Option<&OrgProof>) -> Last {
    let leaf = proof.and_then(|proof| proof.leaf.as_ref());
    let witnessed = proof.and_then(|proof| proof.witnessed.as_ref());
    Last {
        checkpoint: proof.map(|proof| proof.note.clone()),
        leaf: leaf.map(|leaf| Leaf { index: leaf.index, seq: leaf.seq, hash: leaf.hash }),
        inclusion: leaf.map(|leaf| leaf.inclusion.clone()).unwrap_or_default(),
        witnessed: witnessed.map(|witnessed| WitnessedNote {
            checkpoint: witnessed.note.clone(),
            consistency: witnessed.consistency.clone(),
        }),
        since: proof.and_then(|proof| proof.since.clone()),
    }
}
