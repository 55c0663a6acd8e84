//! `pawl policy`: what roles may do, by the policy in force.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use pawl::access::ROLES;
use pawl::app::policy;
use pawl::config::Config;

use crate::Failure;

/// What is done with the policy.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Print the policy in force (PAWL_POLICY_FILE, or the one compiled in) as a table
    #[command(after_help = "Example:\n  pawl policy explain --as worker")]
    Explain {
        /// One role alone: backend, worker, fleet, owner, auditor or operator
        #[arg(long = "as", value_name = "ROLE")]
        role: Option<String>,
    },
}

/// Does it.
pub fn run(config: &Config, command: &PolicyCommand) -> Result<ExitCode, Failure> {
    let PolicyCommand::Explain { role } = command;
    if let Some(role) = role.as_deref().filter(|role| !ROLES.contains(role)) {
        return Err(format!("--as: there is no role {role:?}; there are {}", ROLES.join(", ")).into());
    }
    let policy = policy(config)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "policy {} (SHA-256 {})", policy.name(), policy.digest())?;
    writeln!(out, "{:<9} {:<23} {:<9} OF CONNECTIONS", "ROLE", "ACTION", "REACH")?;
    for line in policy.explain(role.as_deref()) {
        let when = if line.when.is_empty() { "any" } else { &line.when };
        writeln!(out, "{:<9} {:<23} {:<9} {when}", line.role, line.action, line.reach)?;
    }
    Ok(ExitCode::SUCCESS)
}
