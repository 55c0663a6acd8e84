//! The subcommands that are more than a few lines, a file each.

pub mod import;

/// What ends a subcommand, in words for people.
pub type Failure = Box<dyn std::error::Error>;
