//! `pawl freeze` and `pawl unfreeze`: the whole vault's switch, thrown on a host. It asks for no key, and where no
//! database answers it does on this host what it can.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::app::setup::{Setup, StartError, open_store};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::vault::{FrozenBy, HostSwitch, switch_vault};

/// What came of it.
pub struct Switched {
    /// The file on this host, and whether it is as it should be.
    pub host: Result<PathBuf, std::io::Error>,
    /// Whether the database took it, for every host.
    pub database: Result<(), NotSwitched>,
}

/// The database did not take it.
#[derive(Debug, thiserror::Error)]
pub enum NotSwitched {
    /// It can't be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It did not write.
    #[error(transparent)]
    Vault(#[from] Error),
}

/// Freezes the whole vault, or ends that. The file first, which needs nobody; it goes last.
pub fn switch(config: &Config, clock: &Clock, is_frozen: bool) -> Switched {
    // Not made where there is none: a vault elsewhere would go on, and this would say it did not.
    let opened = HostSwitch::open(&config.data_dir);
    let freeze = |switch: &HostSwitch| if is_frozen { switch.freeze() } else { Ok(()) };
    let opened = opened.and_then(|switch| freeze(&switch).map(|()| switch));
    let database = in_database(config, clock, is_frozen);
    let host = opened.and_then(|switch| {
        if !is_frozen {
            switch.unfreeze()?;
        }
        if database.is_ok() {
            // What is on record already is not put there again by the vault that sees the file.
            switch.recorded(is_frozen)?;
        }
        Ok(switch.file())
    });
    Switched { host, database }
}

fn in_database(config: &Config, clock: &Clock, is_frozen: bool) -> Result<(), NotSwitched> {
    let store = open_store(config, Setup::Look)?;
    Ok(switch_vault(&store, is_frozen, clock)?)
}

/// This host's switch, for root too; the directory is made where there is none, for the vault that is started there.
pub(super) fn open_host(config: &Config) -> std::io::Result<HostSwitch> {
    if !config.data_dir.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir)?;
    }
    HostSwitch::open(&config.data_dir)
}

/// Whether anything is lent, as this host and the database say.
pub fn look(config: &Config) -> Result<FrozenBy, NotSwitched> {
    let here = HostSwitch::open(&config.data_dir);
    if here.is_ok_and(|switch| switch.is_there()) {
        return Ok(FrozenBy::Host);
    }
    let since = open_store(config, Setup::Look)?.find_vault_frozen().map_err(Error::from)?;
    Ok(if since.is_some() { FrozenBy::Vault } else { FrozenBy::Nobody })
}
