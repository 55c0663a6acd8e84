//! The log over the trail, from a host's command line: what its witnesses say of the database, and that this is as it
//! should be.

use crate::app::App;
use crate::store::StoreError;
use crate::vault::{Accepted, Doubting, LogRefused, Looked, accept, look_at_log, origin_host};

impl App {
    /// Asks every witness what it has. Blocks, for a few seconds where they don't answer.
    pub fn look_at_log(&self) -> Result<Looked, StoreError> {
        let runtime = runtime().map_err(|_| StoreError::Unavailable("no runtime"))?;
        runtime.block_on(look_at_log(&self.store, &self.keyring, &self.config.checkpoints, &self.doubting()))
    }

    /// Takes the database as it is, though witnesses know more: another log begins. Vaults see it in a second.
    pub fn accept_restore(&self) -> Result<Accepted, LogRefused> {
        let runtime = runtime().map_err(|_| StoreError::Unavailable("no runtime"))?;
        let host = origin_host(&self.config.issuer);
        let how = (&self.config.checkpoints, host.as_str(), &self.clock);
        runtime.block_on(accept(&self.store, &self.keyring, how, &self.doubting()))
    }

    fn doubting(&self) -> Doubting {
        Doubting::of(&self.config.data_dir)
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
