//! Master keys in AWS Secrets Manager, each a secret of its own. Nothing is kept of what was read: a
//! call answers what the store holds then, or why it can't be asked.

mod fault;
mod name;
mod store;
mod value;
mod way;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

use crate::clock::fill_random;
use crate::ids::KeyId;
use crate::seal::keyring::MasterKey;
use crate::seal::source::{Found, KeySource, SourceRefused};
use fault::Fault;
use name::{SecretName, Slot};
use store::Store;

pub use store::Patience;

/// The keys under one name of AWS Secrets Manager.
pub struct AwsSource {
    name: SecretName,
    given: Option<SdkConfig>,
    patience: Patience,
    door: Mutex<Door>,
}

impl AwsSource {
    /// Whether `name` can be one; else the rule that it breaks.
    pub fn judge(name: &str) -> Result<(), &'static str> {
        SecretName::parse(name).map(drop)
    }

    /// The source at `name`, reached as AWS's standard configuration says. Asks the store nothing yet.
    pub fn open(name: &str) -> Result<Self, SourceRefused> {
        Self::open_at(name, None, Patience::default())
    }

    /// The same, reached as `given` says.
    pub fn open_at(name: &str, given: Option<SdkConfig>, patience: Patience) -> Result<Self, SourceRefused> {
        let name = SecretName::parse(name).map_err(|rule| SourceRefused::Form {
            place: format!("aws-secretsmanager:{}", name.escape_debug()),
            rule: rule.to_owned(),
        })?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SourceRefused::Unreachable { place: name.source(), cause: error.to_string() })?;
        Ok(Self { name, given, patience, door: Mutex::new(Door { runtime: Some(runtime), store: None }) })
    }

    /// Does `work` with the store, to its end, on this thread.
    fn reach<T>(
        &self,
        work: impl AsyncFnOnce(&Store) -> Result<T, SourceRefused>,
    ) -> Result<T, SourceRefused> {
        let unreachable = |cause| SourceRefused::Unreachable { place: self.name.source(), cause };
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let Door { runtime: Some(runtime), store } = &mut *door else {
            return Err(unreachable("it was closed".into()));
        };
        runtime.block_on(async {
            if store.is_none() {
                // Kept only once it is whole: a region that could not be asked for is asked for again.
                let opened = Store::open(self.given.as_ref(), self.patience).await;
                *store = Some(opened.map_err(unreachable)?);
            }
            match store {
                Some(store) => work(store).await,
                None => Err(unreachable("it was not opened".into())),
            }
        })
    }

    fn slot(&self, id: &KeyId) -> Result<Slot, SourceRefused> {
        self.name.slot(id).ok_or_else(|| SourceRefused::Form {
            place: self.name.source(),
            rule: format!("keys here are called k1, k2, and so on; {id} is none of them"),
        })
    }
}

/// The runtime that the calls are waited for on, and the store once it was reached.
struct Door {
    runtime: Option<Runtime>,
    store: Option<Store>,
}

impl Drop for Door {
    fn drop(&mut self) {
        // Waits for nothing, so it may also be dropped from async code.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl KeySource for AwsSource {
    fn name(&self) -> String {
        self.name.source()
    }

    /// Only keys that are asked for, and the first, are looked for: nothing lists secrets.
    fn read(&self, known: &[KeyId]) -> Result<Found, SourceRefused> {
        let first = KeyId::parse(FIRST).ok();
        self.reach(async |store| {
            let mut found = Found::default();
            for id in first.iter().chain(known.iter().filter(|id| id.as_str() != FIRST)) {
                // A key of such a name is another source's.
                let Some(slot) = self.name.slot(id) else { continue };
                match read(store, id, &slot).await {
                    Ok(key) => {
                        found.keys.insert(id.as_str().to_owned(), key);
                    }
                    Err(Unread::Missing) => continue,
                    Err(Unread::This(refused)) => found.unusable.push((id.clone(), refused)),
                    Err(Unread::All(refused)) => return Err(refused),
                }
                if id.as_str() == FIRST {
                    found.first = Some(id.clone());
                }
            }
            Ok(found)
        })
    }

    /// Under the KMS key of the key before it, so that who guards one guards the next.
    fn make(&self, id: &KeyId) -> Result<MasterKey, SourceRefused> {
        let slot = self.slot(id)?;
        let (key, token) =
            fresh().map_err(|cause| SourceRefused::Unreachable { place: slot.place(), cause })?;
        self.reach(async |store| {
            let mut kms_key = None;
            for before in self.name.before(&slot) {
                match store.describe(&before.secret).await {
                    Ok(described) => {
                        kms_key = described.kms_key;
                        break;
                    }
                    Err(Fault::Missing) => {}
                    Err(fault) => return Err(refused(fault, id, &before)),
                }
            }
            let made = store.create(&slot.secret, &key.to_text(), &token, kms_key).await;
            made.map_err(|fault| refused(fault, id, &slot))?;
            let seen = self.settled(async || match read(store, id, &slot).await {
                Err(Unread::Missing) => Ok(None),
                Ok(seen) => Ok(Some(seen)),
                Err(Unread::This(refused) | Unread::All(refused)) => Err(refused),
            });
            match seen.await? {
                Some(seen) if seen.fingerprint() == key.fingerprint() => Ok(seen),
                Some(_) => Err(form(&slot, "it holds another key than the one that was made")),
                None => Err(form(&slot, "the key was made, and can't be read yet")),
            }
        })
    }

    /// Copies in other regions first: AWS deletes no secret that has any.
    fn destroy(&self, id: &KeyId) -> Result<(), SourceRefused> {
        let slot = self.slot(id)?;
        let whole = |fault| refused(fault, id, &slot);
        self.reach(async |store| {
            let replicas = match store.describe(&slot.secret).await {
                Ok(described) => described.replicas,
                Err(Fault::Missing) => Vec::new(),
                Err(fault) => return Err(whole(fault)),
            };
            if !replicas.is_empty() {
                store.remove_replicas(&slot.secret, replicas).await.map_err(whole)?;
                let alone = self.settled(async || match store.describe(&slot.secret).await {
                    Ok(described) if !described.replicas.is_empty() => Ok(None),
                    Ok(_) | Err(Fault::Missing) => Ok(Some(())),
                    Err(fault) => Err(whole(fault)),
                });
                if alone.await?.is_none() {
                    return Err(form(
                        &slot,
                        "its copies in other regions are still there: nothing was deleted",
                    ));
                }
            }
            match store.delete(&slot.secret).await {
                Ok(()) | Err(Fault::Missing) => {}
                Err(fault) => return Err(whole(fault)),
            }
            let gone = self.settled(async || match store.value(&slot.secret).await {
                Err(Fault::Missing) => Ok(Some(())),
                // Still there, whatever it holds.
                Ok(_) | Err(Fault::Key(_) | Fault::Taken) => Ok(None),
                Err(fault) => Err(whole(fault)),
            });
            match gone.await? {
                Some(()) => Ok(()),
                None => Err(form(&slot, "it was deleted, and can still be read")),
            }
        })
    }
}

impl AwsSource {
    /// Asks again, at growing distances, until there is an answer; `None` when the patience is over.
    async fn settled<T>(
        &self,
        ask: impl AsyncFn() -> Result<Option<T>, SourceRefused>,
    ) -> Result<Option<T>, SourceRefused> {
        let until = Instant::now() + self.patience.settle;
        let mut pause = Duration::from_millis(50);
        loop {
            if let Some(answer) = ask().await? {
                return Ok(Some(answer));
            }
            if Instant::now() + pause > until {
                return Ok(None);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

const FIRST: &str = "k1";

/// Why a key was not read.
enum Unread {
    Missing,
    This(SourceRefused),
    All(SourceRefused),
}

async fn read(store: &Store, id: &KeyId, slot: &Slot) -> Result<MasterKey, Unread> {
    let value = store.value(&slot.secret).await.map_err(|fault| match fault {
        Fault::Missing => Unread::Missing,
        Fault::Key(_) => Unread::This(refused(fault, id, slot)),
        Fault::Taken | Fault::Store(_) => Unread::All(refused(fault, id, slot)),
    })?;
    value::read(&value).map_err(|_| Unread::This(form(slot, NO_KEY)))
}

const NO_KEY: &str = "the value is neither a Fernet key nor {\"fernet_key\": \"…\"}";

fn refused(fault: Fault, id: &KeyId, slot: &Slot) -> SourceRefused {
    match fault {
        Fault::Missing => SourceRefused::Missing(format!("key {id} at {}", slot.place())),
        Fault::Taken => SourceRefused::Taken { id: id.clone(), place: slot.place() },
        Fault::Key(cause) | Fault::Store(cause) => SourceRefused::Unreachable { place: slot.place(), cause },
    }
}

fn form(slot: &Slot, rule: &str) -> SourceRefused {
    SourceRefused::Form { place: slot.place(), rule: rule.into() }
}

/// A key, and a name for the request that makes it: sent again, it makes no second one.
fn fresh() -> Result<(MasterKey, String), String> {
    let mut token = [0; 16];
    fill_random(&mut token).map_err(|error| error.to_string())?;
    let key = MasterKey::generate().map_err(|error| error.to_string())?;
    Ok((key, token.iter().map(|byte| format!("{byte:02x}")).collect()))
}
