//! `pawl token`: tokens from this host, the keys that sign them, and what of them is not taken any more.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use pawl::access::KeyTerm;
use pawl::app::{App, Setup, open_keys, open_registry};
use pawl::clock::{Clock, Moment};
use pawl::config::Config;
use pawl::ids::{ClientId, OrgId, TokenId, UserId};
use pawl::vault::keys::Following;

use crate::Failure;

/// What is done with tokens.
#[derive(Subcommand)]
pub enum TokenCommand {
    /// Mint a token and print it, alone, on standard output
    #[command(
        after_help = "Example:\n  PAWL_TOKEN=$(pawl token issue --org acme --user ada --role backend --client shop)"
    )]
    Issue(Issue),
    /// The keys that sign tokens
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Take tokens back: no vault takes them any more within two seconds
    #[command(
        after_help = "Examples:\n  pawl token revoke --jti tok_…       the `token_id` of the trail\n  \
                            pawl token revoke --client shop     all that it has by now"
    )]
    Revoke(Revoke),
}

/// What is done with the keys that sign tokens.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Show them: since when each signs, and until when what it signed is taken
    List,
    /// Make the next one; what was signed before is taken for as long as it lives
    Rotate {
        /// One was stolen, or does not open any more: nothing that was signed before is taken from now on
        #[arg(long)]
        at_once: bool,
    },
}

/// Whom a token is for.
#[derive(Args)]
pub struct Issue {
    /// The customer
    #[arg(long)]
    org: String,
    /// The person in that org
    #[arg(long)]
    user: String,
    /// backend, worker, owner or auditor
    #[arg(long)]
    role: String,
    /// The service that will call with it
    #[arg(long, default_value = "cli")]
    client: String,
    /// How long it lives: 30s, 15m; at most 15m
    #[arg(long, default_value = "15m", value_parser = parse_life)]
    ttl: Duration,
}

/// What is taken back.
#[derive(Args)]
pub struct Revoke {
    /// One token, by its `jti`
    #[arg(long, conflicts_with = "client", required_unless_present = "client")]
    jti: Option<String>,
    /// Everything that this client was issued
    #[arg(long)]
    client: Option<String>,
    /// Only what was issued until then (RFC 3339; now, when absent)
    #[arg(long, requires = "client", value_parser = parse_moment)]
    before: Option<Moment>,
}

fn parse_life(text: &str) -> Result<Duration, String> {
    let seconds = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(seconds), _) => seconds.parse::<u64>().ok(),
        (None, Some(minutes)) => minutes.parse::<u64>().ok().and_then(|minutes| minutes.checked_mul(60)),
        (None, None) => None,
    };
    seconds.map(Duration::from_secs).ok_or_else(|| "must be such as 30s or 15m".into())
}

fn parse_moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| "must be such as 2027-01-31T12:00:00Z".into())
}

/// Does it, beside whatever vaults are running.
pub fn run(config: Config, command: &TokenCommand) -> Result<ExitCode, Failure> {
    match command {
        TokenCommand::Issue(asked) => issue(config, asked),
        TokenCommand::Keys { command: KeysCommand::List } => list(&config),
        TokenCommand::Keys { command: KeysCommand::Rotate { at_once } } => rotate(&config, *at_once),
        TokenCommand::Revoke(asked) => revoke(&config, asked),
    }
}

fn issue(config: Config, asked: &Issue) -> Result<ExitCode, Failure> {
    if !config.may_issue_tokens() {
        return Err("in production tokens are minted here only with PAWL_OWN_ISSUER=on".into());
    }
    let org = OrgId::parse(&asked.org).map_err(|e| format!("--org {e}"))?;
    let user = UserId::parse(&asked.user).map_err(|e| format!("--user {e}"))?;
    let client = ClientId::parse(&asked.client).map_err(|e| format!("--client {e}"))?;
    let app = App::open_with(config, Clock::system(), Setup::Look)?;
    let token = app.issue_token((&org, &user, &client), &asked.role, asked.ttl)?;
    writeln!(std::io::stdout(), "{}", token.expose())?;
    Ok(ExitCode::SUCCESS)
}

fn list(config: &Config) -> Result<ExitCode, Failure> {
    let clock = Clock::system();
    let now = clock.now();
    let listed = open_keys(config, clock)?.list_issuer()?;
    let signing = KeyTerm::signing(listed.iter().map(|(_, term)| *term), now);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<30} {:<9} {:<28} VERIFIES UNTIL", "ID", "STATE", "SIGNS FROM")?;
    for (id, term) in listed {
        let state = match () {
            () if term.is_over(now) => "over",
            () if signing == Some(term) => "signs",
            () if term.signs_from > now => "next",
            () => "verifies",
        };
        let until = term.verifies_until.map_or_else(|| "the next follows".into(), |until| until.to_string());
        writeln!(out, "{id} {state:<9} {:<28} {until}", term.signs_from.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rotate(config: &Config, at_once: bool) -> Result<ExitCode, Failure> {
    let following = if at_once { Following::AtOnce } else { Following::Overlapping };
    let (id, term) = open_keys(config, Clock::system())?.rotate_issuer(following)?;
    let mut out = std::io::stdout().lock();
    match following {
        Following::AtOnce => {
            writeln!(out, "{id} signs from now on; no token that was signed before is taken any more")?;
        }
        Following::Overlapping => {
            let until = term.others_verify_until();
            writeln!(
                out,
                "{id} signs from {}; what was signed before is taken until {until}",
                term.signs_from
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(config: &Config, asked: &Revoke) -> Result<ExitCode, Failure> {
    let registry = open_registry(config, Clock::system())?;
    let mut out = std::io::stdout().lock();
    if let Some(jti) = &asked.jti {
        registry.revoke_token(&TokenId::parse(jti).map_err(|e| format!("--jti {e}"))?)?;
        writeln!(out, "{jti} is not taken any more")?;
    }
    if let Some(client) = &asked.client {
        let id = ClientId::parse(client).map_err(|e| format!("--client {e}"))?;
        let before = registry.revoke_client(&id, asked.before)?;
        writeln!(out, "nothing that {client} was issued until {before} is taken any more")?;
    }
    Ok(ExitCode::SUCCESS)
}
