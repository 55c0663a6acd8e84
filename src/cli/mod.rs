//! Subcommands that are more than a few lines: each reads its arguments and prints for people.

pub mod audit;
pub mod client;
pub mod freeze;
pub mod import;
pub mod keys;
pub mod log;
pub mod policy;
pub mod token;
