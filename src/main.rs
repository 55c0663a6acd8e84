//! `pawl`, the vault: reads the command line, prints for people, leaves the work to the library.

mod cli;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use pawl::app::{App, Certificate, SOON_DAYS, Setup, Signals, StartError, ask_ready};
use pawl::clock::Clock;
use pawl::config::{Config, Mode, Tls, VAULT_SETTINGS};
use pawl::memory::Locked;
use pawl::vault::FrozenBy;

use cli::client::ClientCommand;

/// What is freed is wiped: also what the libraries copied about.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Keeps Odoo credentials and lends them for minutes to a read-only worker.
#[derive(Parser)]
#[command(name = "pawl", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pawl serve                                              start, with embedded defaults
  pawl token issue --org acme --user ada --role backend   a token to deposit with
  pawl token issue --org acme --user ada --role worker    a token for pawl-sync
  pawl doctor                                             what is in force, and what is wrong with it

Settings come from PAWL_* in the environment, over pawl.toml, over the defaults; `pawl serve --help`
lists them.";

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM; open requests finish, for ten seconds at most
    #[command(after_help = settings_help())]
    Serve,
    /// Set up once what production does not make by itself: the database, the issuer, a key if none is there
    #[command(
        after_help = "Example:\n  PAWL_MODE=production PAWL_KEY_SOURCE=file:/etc/pawl/master.json … pawl init"
    )]
    Init,
    /// Tokens: mint one here, take some back, change the keys that sign them
    Token {
        #[command(subcommand)]
        command: cli::token::TokenCommand,
    },
    /// Services that may ask for tokens, each by a key of its own: make one, register, list, remove
    Client {
        #[command(subcommand)]
        command: cli::client::ClientCommand,
    },
    /// Move another product's table of Fernet tokens in: each row is opened and sealed again in memory
    Import(Box<cli::import::Arguments>),
    /// Master keys: list, rotate, reseal, retire; beside running vaults, which go on
    Keys {
        #[command(subcommand)]
        command: cli::keys::KeysCommand,
    },
    /// The trail: verify it, show the newest events, export it
    Audit {
        #[command(subcommand)]
        command: cli::audit::AuditCommand,
    },
    /// What each role may do
    Policy {
        #[command(subcommand)]
        command: cli::policy::PolicyCommand,
    },
    /// Freeze the whole vault: nothing is lent, checked or deposited, and every open lease ends
    #[command(after_help = cli::freeze::EXAMPLES)]
    Freeze,
    /// Let the vault lend again
    #[command(after_help = cli::freeze::EXAMPLES)]
    Unfreeze,
    /// Ask the vault that runs here whether it is ready: exits with 0 or 1, within three seconds
    #[command(after_help = "Example:\n  PAWL_OPS_LISTEN=127.0.0.1:7296 pawl ready")]
    Ready,
    /// Show what is in force and what is wrong with it; secrets are left out
    Doctor {
        /// An older database was put back on purpose: take it as it is, on record, and lend again
        #[arg(long)]
        accept_restore: bool,
    },
    /// Print the OpenAPI document
    Openapi,
}

fn settings_help() -> String {
    let lines =
        VAULT_SETTINGS.iter().map(|(name, what)| format!("  PAWL_{:<16} {what}", name.to_uppercase()));
    let lines: Vec<String> = lines.collect();
    format!(
        "Settings (in pawl.toml the names are lower case, without PAWL_):\n{}\n\nExamples:\n  pawl serve\n  \
         PAWL_LISTEN=127.0.0.1:8000 PAWL_LOG=debug pawl serve",
        lines.join("\n")
    )
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pawl: {error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn run(command: Command) -> Result<ExitCode, Failure> {
    if let Command::Openapi = command {
        let document = serde_json::to_string_pretty(&pawl::http::document())?;
        writeln!(std::io::stdout(), "{document}")?;
        return Ok(ExitCode::SUCCESS);
    }
    pawl::process::harden()?;
    pawl::process::open_files();
    let locked = pawl::memory::lock();
    if let Command::Client { command: ClientCommand::Keygen { file } } = &command {
        return cli::client::keygen(file);
    }
    if let Command::Doctor { accept_restore } = command {
        return doctor(locked, accept_restore);
    }
    if let Command::Audit { command } = &command
        && cli::audit::is_offline(command)
    {
        return cli::audit::verify_offline(command);
    }
    let config = match Config::load() {
        Err(refused) if matches!(command, Command::Audit { .. }) => return cli::audit::unreadable(&refused),
        loaded => loaded?,
    };
    let telemetry = pawl::telemetry::start(&config.log, config.log_format, config.otlp_endpoint.as_ref())?;
    let done = match command {
        Command::Serve => serve(config, locked),
        Command::Init => init(config),
        Command::Token { command } => cli::token::run(config, &command),
        Command::Client { command } => cli::client::run(&config, &command),
        Command::Import(arguments) => cli::import::run(config, *arguments),
        Command::Audit { command } => cli::audit::run(&config, &command),
        Command::Policy { command } => cli::policy::run(&config, &command),
        Command::Keys { command } => cli::keys::run(config, &command),
        Command::Freeze => cli::freeze::run(&config, true),
        Command::Unfreeze => cli::freeze::run(&config, false),
        Command::Ready => ready(&config),
        Command::Doctor { .. } | Command::Openapi => Ok(ExitCode::SUCCESS),
    };
    telemetry.end();
    done
}

fn serve(config: Config, locked: Locked) -> Result<ExitCode, Failure> {
    let swaps = pawl::memory::swaps();
    if locked != Locked::Everything && !swaps.is_empty() {
        tracing::warn!(told = locked.told(&swaps), "memory");
    }
    let (mode, data_dir, database) = (config.mode, config.data_dir.clone(), config.database.clone());
    let (key_source, app) = (config.key_source.clone(), App::open(config, Clock::system())?);
    let key = app.key().clone();
    actix_web::rt::System::new().block_on(async move {
        // Held from before anybody else may write there: a checkpoint's line comes after these.
        let mut out = std::io::stdout().lock();
        let serving = app.serve(Signals::Heed)?;
        writeln!(out, "pawl listens on {}", serving.url())?;
        writeln!(out, "data: {} (database {database})", data_dir.display())?;
        writeln!(out, "keys: {key_source} (sealing with {key})")?;
        writeln!(out, "token: pawl token issue --org ORG --user USER --role backend")?;
        match mode {
            Mode::Embedded => writeln!(
                out,
                "mode: embedded, the default: one machine, SQLite, loopback; PAWL_MODE=production for the rest"
            )?,
            Mode::Production => writeln!(out, "mode: production")?,
        }
        if let Some(ops) = serving.ops_address() {
            writeln!(out, "ops: http://{ops}/metrics, /livez, /readyz")?;
        }
        out.flush()?;
        drop(out);
        serving.run().await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn ready(config: &Config) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask_ready(config.ops_listen))?;
    Ok(ExitCode::SUCCESS)
}

fn init(config: Config) -> Result<ExitCode, Failure> {
    let (database, key_source) = (config.database.clone(), config.key_source.clone());
    let app = App::open_with(config, Clock::system(), Setup::Make)?;
    let mut out = std::io::stdout();
    writeln!(out, "database: {database}")?;
    writeln!(out, "keys: {key_source} (sealing with {})", app.key())?;
    Ok(ExitCode::SUCCESS)
}

/// Says everything it finds, and fails if anything is wrong.
fn doctor(locked: Locked, accepts_restore: bool) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    let config = match Config::load() {
        Ok(config) => config,
        Err(refused) => {
            for line in refused.0 {
                writeln!(out, "wrong     {line}")?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    writeln!(out, "mode      {}", config.mode)?;
    writeln!(out, "listen    {}", config.listen)?;
    match config.ops_listen {
        Some(ops) => writeln!(out, "ops       http://{ops}")?,
        None => writeln!(out, "ops       none")?,
    }
    let is_shown = show_certificate(&config, &mut out)?;
    writeln!(out, "data      {}", config.data_dir.display())?;
    writeln!(out, "database  {}", config.database)?;
    writeln!(out, "keys      {}", config.key_source)?;
    writeln!(out, "issuer    {} (minting here: {})", config.issuer, config.may_issue_tokens())?;
    let by = config.egress_proxy.as_ref().map_or_else(String::new, |proxy| format!("; by the proxy {proxy}"));
    let nat64 = config.egress_nat64.to_string();
    let nat64 = if nat64.is_empty() { nat64 } else { format!("; NAT64 {nat64}") };
    writeln!(out, "egress    {}; ports {}{nat64}{by}", config.egress_allow, config.egress_ports)?;
    match pawl::app::policy(&config) {
        Ok(policy) => writeln!(out, "policy    {} (SHA-256 {})", policy.name(), policy.digest())?,
        Err(error) => writeln!(out, "wrong     {error}")?,
    }
    writeln!(out, "memory    core dumps off, not dumpable, {}", locked.told(&pawl::memory::swaps()))?;
    match pawl::app::look(&config) {
        Ok(FrozenBy::Nobody) => writeln!(out, "frozen    no")?,
        Ok(FrozenBy::Host) => {
            writeln!(out, "frozen    this host, by file: nothing is lent (`pawl unfreeze`)")?
        }
        // Told below, with what the witnesses say.
        Ok(FrozenBy::Witness | FrozenBy::Log) => {}
        Ok(FrozenBy::Vault) => writeln!(out, "frozen    the whole vault: nothing is lent (`pawl unfreeze`)")?,
        Err(_) => writeln!(out, "frozen    unknown")?,
    }
    let how = if config.mode == Mode::Embedded { "pawl serve" } else { "pawl init" };
    match App::open_with(config.clone(), Clock::system(), Setup::Look) {
        Ok(app) => {
            writeln!(out, "ok        the database opens, {} is held and opens the issuer's key", app.key())?;
            if accepts_restore {
                cli::log::accept(&app, &mut out)?;
            }
            let is_known = cli::log::show(&config, &app, &mut out)?;
            Ok(if is_shown && is_known { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(StartError::NotSetUp) => {
            writeln!(out, "wrong     nothing is set up yet: run `{how}`")?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            writeln!(out, "wrong     {error}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Which certificate the listener would show, and what is wrong with it: `false` if it can't be shown.
fn show_certificate(config: &Config, out: &mut impl Write) -> std::io::Result<bool> {
    let files = match &config.tls {
        Tls::Nobody => return writeln!(out, "tls       none").map(|()| true),
        Tls::ProxyOnThisHost => return writeln!(out, "tls       terminated on this host").map(|()| true),
        Tls::Listener(files) => files,
    };
    let now = Clock::system().now();
    match Certificate::read(files, &config.issuer, now) {
        Ok(certificate) => {
            let until = certificate.not_after();
            let days = until.since(now).as_secs() / (24 * 60 * 60);
            let names = certificate.names().join(" ");
            writeln!(out, "tls       {}, good until {until}, for {days} days", files.cert.display())?;
            writeln!(out, "          for {names}")?;
            if days < SOON_DAYS {
                writeln!(
                    out,
                    "warning   the certificate ends in {days} days: renew it, Pawl takes it by itself"
                )?;
            }
            Ok(true)
        }
        Err(refused) => writeln!(out, "wrong     {refused}").map(|()| false),
    }
}
