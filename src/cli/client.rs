//! `pawl client`: the services that may ask for tokens, each by a key of its own.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use pawl::access::Client;
use pawl::app::open_registry;
use pawl::client_key::{ClientKey, PublicKey};
use pawl::clock::Clock;
use pawl::config::Config;
use pawl::ids::{ClientId, OrgId, UserId};
use pawl::vault::Registry;

use crate::Failure;

/// What is done with services.
#[derive(Subcommand)]
pub enum ClientCommand {
    /// Make a service's key, on its own machine: the private half into FILE, the public half on standard output
    #[command(after_help = "Example:\n  pawl client keygen /etc/shop/pawl.key > shop.pub\n\n\
                            `openssl genpkey -algorithm ed25519` makes the same.")]
    Keygen {
        /// Where the private half goes, for its owner alone; never written over
        file: PathBuf,
    },
    /// Register a service by the public half of its key
    #[command(after_help = "Examples:\n  \
                            pawl client add shop --org acme --role backend --public-key shop.pub\n  \
                            pawl client add sync --org acme --user ada --role worker --public-key sync.pub\n  \
                            pawl client add ops --role operator --public-key ops.pub")]
    Add(AddArgs),
    /// Show every service that is registered
    List,
    /// Remove a service: it gets no token any more, and those that it has are revoked
    Remove {
        /// Its name
        name: String,
    },
}

/// Who is registered.
#[derive(Args)]
pub struct AddArgs {
    /// Its name, `client_id` in tokens and in the trail
    name: String,
    /// The orgs that it may act for; with several its assertion says which
    #[arg(long, conflicts_with = "any_org")]
    org: Vec<String>,
    /// It may act for whichever org its assertion says
    #[arg(long)]
    any_org: bool,
    /// The one user that it acts for; without, its assertion says whom
    #[arg(long)]
    user: Option<String>,
    /// What it may do: backend, worker, owner or auditor, several if need be; or operator alone, for no org
    #[arg(long, required = true)]
    role: Vec<String>,
    /// The file with its public key, as `pawl client keygen` printed it
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
}

/// Makes a key. Needs no vault.
pub fn keygen(file: &Path) -> Result<ExitCode, Failure> {
    let key = ClientKey::generate()?;
    let mut options = std::fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already: it is not written over", file.display()),
        _ => format!("{} can't be written: {e}", file.display()),
    })?;
    made.write_all(key.to_pem().expose().as_bytes())?;
    made.sync_all()?;
    write!(std::io::stdout(), "{}", key.public().to_pem())?;
    Ok(ExitCode::SUCCESS)
}

/// Does it, beside whatever vaults are running.
pub fn run(config: &Config, command: &ClientCommand) -> Result<ExitCode, Failure> {
    let registry = open_registry(config, Clock::system())?;
    match command {
        ClientCommand::Keygen { file } => keygen(file),
        ClientCommand::Add(args) => add(&registry, args),
        ClientCommand::List => list(&registry),
        ClientCommand::Remove { name } => {
            registry.remove(&ClientId::parse(name).map_err(|e| format!("NAME {e}"))?)?;
            writeln!(std::io::stdout(), "{name} is removed, and what it was issued is revoked")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn add(registry: &Registry, args: &AddArgs) -> Result<ExitCode, Failure> {
    let file = args.public_key.display();
    let pem =
        std::fs::read(&args.public_key).map_err(|e| format!("--public-key: {file} can't be read: {e}"))?;
    let orgs: Result<Vec<OrgId>, _> = args.org.iter().map(|org| OrgId::parse(org)).collect();
    let orgs = orgs.map_err(|e| format!("--org {e}"))?;
    let client = Client {
        id: ClientId::parse(&args.name).map_err(|e| format!("NAME {e}"))?,
        key: PublicKey::from_pem(&pem).map_err(|e| format!("--public-key: {file} {e}"))?,
        roles: args.role.clone(),
        orgs: if args.any_org { None } else { Some(orgs) },
        user: args.user.as_deref().map(UserId::parse).transpose().map_err(|e| format!("--user {e}"))?,
        created_at: registry.now(),
    };
    let fingerprint = client.key.fingerprint();
    registry.add(client)?;
    writeln!(std::io::stdout(), "{} may ask for tokens: key {fingerprint}", args.name)?;
    Ok(ExitCode::SUCCESS)
}

fn list(registry: &Registry) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<20} {:<16} {:<16} {:<20} USER", "NAME", "KEY", "ROLES", "ORGS")?;
    for client in registry.list()? {
        let orgs = match &client.orgs {
            None => "any".into(),
            Some(none) if none.is_empty() => "none".into(),
            Some(orgs) => orgs.iter().map(OrgId::as_str).collect::<Vec<_>>().join(","),
        };
        let user = client.user.as_ref().map_or("any", UserId::as_str);
        let user = if client.is_operator() { "none" } else { user };
        let (name, key, roles) = (&client.id, client.key.fingerprint(), client.roles.join(","));
        writeln!(out, "{name:<20} {key} {roles:<16} {orgs:<20} {user}")?;
    }
    Ok(ExitCode::SUCCESS)
}
