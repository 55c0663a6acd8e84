//! The witnesses of one process: each is reached in one way for as long as it lives, and stands as it was heard last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::config;
use crate::config::Checkpoints;
use crate::metrics;
use crate::witness::{Reach, WitnessFailed};

/// How it stands with who is told of checkpoints: in the order of how much is amiss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Telling {
    /// Nobody is to be told.
    None,
    /// Each has been told all there is.
    Told,
    /// One has less than there is, or than it took before, and takes no more.
    Behind,
    /// One says nothing, or nothing that is believed.
    Silent,
}

impl Telling {
    const ALL: [Self; 4] = [Self::None, Self::Told, Self::Behind, Self::Silent];

    /// As `/readyz` calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Told => "told",
            Self::Behind => "behind",
            Self::Silent => "silent",
        }
    }

    fn number(self) -> u8 {
        Self::ALL.iter().zip(0..).find(|(telling, _)| **telling == self).map_or(0, |(_, number)| number)
    }
}

/// All of them, in the order of the settings.
#[derive(Clone, Default)]
pub struct Witnesses(Arc<Vec<Arc<Contact>>>);

impl Witnesses {
    /// Those of the settings.
    pub fn new(checkpoints: &Checkpoints) -> Self {
        let contact = |(at, witness): (usize, &config::Witness)| Arc::new(Contact::new(at + 1, witness));
        Self(Arc::new(checkpoints.witnesses.iter().enumerate().map(contact).collect()))
    }

    /// How it stands with the worst of them.
    pub fn telling(&self) -> Telling {
        self.iter().map(|contact| contact.telling()).max().unwrap_or(Telling::None)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Contact>> {
        self.0.iter()
    }

    /// Whether one said something that could not be held against the database yet.
    pub(super) fn is_any_unjudged(&self) -> bool {
        self.iter().any(|contact| contact.is_unjudged())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One of them.
pub(super) struct Contact {
    /// Its place in the settings, by which the metrics tell it from others.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) is_stdout: bool,
    reach: Result<Reach, WitnessFailed>,
    telling: AtomicU8,
    is_unjudged: AtomicBool,
}

impl Contact {
    fn new(number: usize, witness: &config::Witness) -> Self {
        let (name, is_stdout) = (witness.to_string(), *witness == config::Witness::Stdout);
        let telling = AtomicU8::new(Telling::Silent.number());
        let is_unjudged = AtomicBool::new(false);
        Self { number, name, is_stdout, reach: Reach::new(witness), telling, is_unjudged }
    }

    pub(super) fn reach(&self) -> Result<&Reach, WitnessFailed> {
        self.reach.as_ref().map_err(Clone::clone)
    }

    fn telling(&self) -> Telling {
        let number = usize::from(self.telling.load(Ordering::SeqCst));
        Telling::ALL.get(number).copied().unwrap_or(Telling::Silent)
    }

    /// Whether what it said could not be held against the database yet.
    pub(super) fn is_unjudged(&self) -> bool {
        self.is_unjudged.load(Ordering::SeqCst)
    }

    pub(super) fn set_unjudged(&self, is_unjudged: bool) {
        self.is_unjudged.store(is_unjudged, Ordering::SeqCst);
    }

    pub(super) fn stands(&self, telling: Telling) {
        self.telling.store(telling.number(), Ordering::SeqCst);
        for of in [Telling::Told, Telling::Behind, Telling::Silent] {
            metrics::witness_stands(self.number, of.as_str(), of == telling);
        }
    }
}
