//! A made-up company, the same for the same seed: invoices, credit notes and bills in three
//! currencies, their lines, and what they refer to; and over that, what people changed since.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::books::{Books, Made};
use super::line::Line;
use super::models::Model;
use super::time::{START, shown};
use super::wire::{EMPTY, Value};

/// The fields of one record, without its id.
pub type Record = BTreeMap<&'static str, Value>;

/// What the stand-in holds. Models go by Odoo's names; one that is not there has no records.
#[derive(Clone)]
pub struct Company {
    books: Books,
    /// What was written or, where there is nothing, deleted.
    changed: BTreeMap<Model, BTreeMap<i64, Option<Kept>>>,
    /// When what is written now was begun, in microseconds.
    now: i64,
    /// Whether the bot may read what administrators may.
    pub bot_reads_rights: bool,
    /// A model whose app is not installed.
    pub missing: Option<&'static str>,
    /// A model that the bot may not read.
    pub closed: Option<&'static str>,
}

#[derive(Clone)]
pub struct Kept {
    record: Record,
    written: i64,
}

/// A record that is there.
#[allow(clippy::large_enum_variant, reason = "it lives for one record, and most are made")]
pub enum Found<'a> {
    Kept(&'a Kept),
    Made(Made),
}

impl Company {
    /// As in the demo: 420 entries, 60 partners.
    pub fn small(seed: u64) -> Self {
        Self::sized(seed, 420, 60)
    }

    /// A company with that many entries and partners; entries have about five lines each.
    pub fn sized(seed: u64, moves: i64, partners: i64) -> Self {
        Self {
            books: Books { seed, moves, partners },
            changed: BTreeMap::new(),
            now: START,
            bot_reads_rights: false,
            missing: None,
            closed: None,
        }
    }

    /// One record.
    pub fn record(&self, model: &str, id: i64) -> Option<Record> {
        let model = Model::named(model)?;
        self.find(model, id).map(|found| found.record(model))
    }

    /// The ids of a model, lowest first.
    pub fn ids(&self, model: &str) -> Vec<i64> {
        Model::named(model).map(|model| self.walk(model, 0..=i64::MAX).collect()).unwrap_or_default()
    }

    /// Every record of a model.
    pub fn records(&self, model: &str) -> BTreeMap<i64, Record> {
        let ids = self.ids(model).into_iter();
        ids.filter_map(|id| Some((id, self.record(model, id)?))).collect()
    }

    /// Changes a record that is there, and dates it.
    pub fn edit(&mut self, model: &str, id: i64, change: impl FnOnce(&mut Record)) {
        let now = self.now;
        self.change(model, id, |kept| {
            change(&mut kept.record);
            kept.date(now);
        });
    }

    /// Changes a record as Odoo does now and then: without a new `write_date`.
    pub fn edit_undated(&mut self, model: &str, id: i64, change: impl FnOnce(&mut Record)) {
        self.change(model, id, |kept| change(&mut kept.record));
    }

    /// Puts a record there, as new.
    pub fn insert(&mut self, model: &str, id: i64, record: Record) {
        let Some(model) = Model::named(model) else { return };
        let mut kept = Kept { record, written: self.now };
        kept.record.insert("create_date", Value::Text(shown(self.now)));
        kept.date(self.now);
        self.put(model, id, Some(kept));
    }

    /// Deletes a record; an entry's lines go with it, and a line goes off its entry.
    pub fn remove(&mut self, model: &str, id: i64) {
        let Some(model) = Model::named(model) else { return };
        match model {
            Model::Move => {
                let own = |line: &i64| self.line(*line).is_some_and(|of| of == id);
                let inserted = self.changed.get(&Model::Line).into_iter().flat_map(BTreeMap::keys);
                let lines: Vec<i64> = inserted.copied().filter(own).collect();
                lines.into_iter().for_each(|line| self.put(Model::Line, line, None));
            }
            Model::Line => {
                if let Some(of) = self.line(id) {
                    let is_other = |value: &Value| value.as_int() != Some(id);
                    self.edit(Model::Move.name(), of, |record| {
                        for field in ["invoice_line_ids", "line_ids"] {
                            if let Some(Value::List(ids)) = record.get_mut(field) {
                                ids.retain(is_other);
                            }
                        }
                    });
                }
            }
            _ => {}
        }
        self.put(model, id, None);
    }

    /// From now on, what is written bears this time.
    pub fn begin(&mut self, now: i64) {
        self.now = now;
    }

    pub fn find(&self, model: Model, id: i64) -> Option<Found<'_>> {
        match self.changed.get(&model).and_then(|changed| changed.get(&id)) {
            Some(kept) => kept.as_ref().map(Found::Kept),
            None if model == Model::Line && self.is_removed(Model::Move, Line::move_id(id)) => None,
            None => self.books.find(model, id).map(Found::Made),
        }
    }

    /// The ids that are there, of those in a range.
    pub fn walk(&self, model: Model, range: RangeInclusive<i64>) -> impl DoubleEndedIterator<Item = i64> {
        let made = self.books.ids(model);
        let (first, last) = (*made.start(), *made.end());
        let (from, to) = (*range.start(), *range.end());
        let below = self.kept(model, from..=to.min(first - 1));
        let within = (from.max(first)..=to.min(last)).filter(move |id| self.find(model, *id).is_some());
        let above = self.kept(model, from.max(last + 1)..=to);
        below.chain(within).chain(above)
    }

    /// The type of the entry that a line is on.
    pub fn move_type(&self, line: &Found<'_>) -> Value {
        match line {
            Found::Made(Made::Line(line)) if self.untouched(line.entry_id()) => Value::text(line.move_type()),
            line => {
                let entry = line.field("move_id").first().and_then(Value::as_int);
                let entry = entry.and_then(|id| self.find(Model::Move, id));
                entry.map_or(EMPTY, |entry| entry.field("move_type"))
            }
        }
    }

    fn change(&mut self, model: &str, id: i64, change: impl FnOnce(&mut Kept)) {
        let Some(model) = Model::named(model) else { return };
        let Some(found) = self.find(model, id) else { return };
        let mut kept = Kept { record: found.record(model), written: found.written() };
        change(&mut kept);
        self.put(model, id, Some(kept));
    }

    fn put(&mut self, model: Model, id: i64, kept: Option<Kept>) {
        self.changed.entry(model).or_default().insert(id, kept);
    }

    fn kept(&self, model: Model, range: RangeInclusive<i64>) -> impl DoubleEndedIterator<Item = i64> {
        let range = (!range.is_empty()).then_some(range);
        let changed = self.changed.get(&model).zip(range).map(|(changed, range)| changed.range(range));
        changed.into_iter().flatten().filter(|(_, kept)| kept.is_some()).map(|(id, _)| *id)
    }

    fn untouched(&self, entry: i64) -> bool {
        self.changed.get(&Model::Move).is_none_or(|changed| !changed.contains_key(&entry))
    }

    fn is_removed(&self, model: Model, id: i64) -> bool {
        self.changed.get(&model).and_then(|changed| changed.get(&id)).is_some_and(Option::is_none)
    }

    /// Which entry a line is on.
    fn line(&self, id: i64) -> Option<i64> {
        self.find(Model::Line, id)?.field("move_id").first()?.as_int()
    }
}

impl Kept {
    fn date(&mut self, now: i64) {
        self.record.insert("write_date", Value::Text(shown(now)));
        self.written = now;
    }
}

impl Found<'_> {
    pub fn field(&self, name: &str) -> Value {
        match self {
            Self::Kept(kept) => kept.record.get(name).cloned().unwrap_or(EMPTY),
            Self::Made(made) => made.field(name),
        }
    }

    /// When it was last written, in microseconds.
    pub fn written(&self) -> i64 {
        match self {
            Self::Kept(kept) => kept.written,
            Self::Made(made) => made.written(),
        }
    }

    /// Whether it is put away.
    pub fn is_archived(&self) -> bool {
        match self {
            Self::Kept(kept) => kept.record.get("active") == Some(&EMPTY),
            Self::Made(made) => made.is_archived(),
        }
    }

    fn record(&self, model: Model) -> Record {
        match self {
            Self::Kept(kept) => kept.record.clone(),
            Self::Made(made) => model.fields().iter().map(|(name, _)| (*name, made.field(name))).collect(),
        }
    }
}
