//! What is counted, for whoever is called at three in the morning: every metric there is, told from any
//! room, read by the ops listener alone. Label values come from lists of ours, never from what somebody
//! sent, and none says whose. `docs/metrics.md` says what to do about each.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, Result, TextEncoder,
};

use crate::clock::Moment;

/// The form that [`text`] has.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    refusals: IntCounterVec,
    lends: IntCounterVec,
    injections: IntCounterVec,
    injected_records: IntCounterVec,
    injected_bytes: IntCounterVec,
    circuits: IntCounterVec,
    pool_wait: HistogramVec,
    transactions: HistogramVec,
    audit_lag: HistogramVec,
    counted: IntCounterVec,
    expiring: IntCounterVec,
    below_reserve: GaugeVec,
    not_opened: IntCounterVec,
    keyring_read: GaugeVec,
    keys_stale: GaugeVec,
    frozen: GaugeVec,
    certificate_end: GaugeVec,
    checkpoint: GaugeVec,
    checkpoint_size: GaugeVec,
    chains_damaged: GaugeVec,
    witness_lacks: GaugeVec,
    witness_failures: IntCounterVec,
    witness_state: GaugeVec,
    started: GaugeVec,
    build: GaugeVec,
}

/// Of the process, as its log is. A name that Prometheus does not take would leave it `None`; a test reads
/// every one of them.
static METRICS: LazyLock<Option<Metrics>> = LazyLock::new(|| Metrics::new().ok());

/// Seconds: a lend is promised within a quarter of one, everything else within five.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

impl Metrics {
    fn new() -> Result<Self> {
        let registry = Registry::new();
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            let metric = HistogramVec::new(opts, labels)?;
            registry.register(Box::new(metric.clone())).map(|()| metric)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone())).map(|()| metric)
        };
        // Without a label too: what is not known is not shown, and never as 0.
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let metric = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone())).map(|()| metric)
        };
        Ok(Self {
            requests: histogram(
                "pawl_request_seconds",
                "Requests to the API, from the head read to the answer begun.",
                &["route", "method", "status"],
            )?,
            refusals: counter(
                "pawl_refusals_total",
                "Answers that are a problem, by its name.",
                &["problem"],
            )?,
            lends: counter(
                "pawl_lends_total",
                "Lends that a caller with a token asked for: granted, or the problem's name.",
                &["purpose", "outcome"],
            )?,
            injections: counter(
                "pawl_injections_total",
                "Reads for which the vault called an Odoo: ok, or why there was no answer, by the name in the trail.",
                &["outcome"],
            )?,
            injected_records: counter(
                "pawl_injected_records_total",
                "Records that those reads answered.",
                &[],
            )?,
            injected_bytes: counter(
                "pawl_injected_bytes_total",
                "Bytes of JSON that those reads answered.",
                &[],
            )?,
            circuits: counter(
                "pawl_circuit_opens_total",
                "Times that a host that answered an org nothing was no longer called for a while.",
                &[],
            )?,
            pool_wait: histogram(
                "pawl_pool_wait_seconds",
                "Waits for a database connection of the ordinary pool, also those that got none. Lends do not wait there.",
                &[],
            )?,
            transactions: histogram(
                "pawl_transaction_seconds",
                "Database transactions from begin to end: committed; rolled_back, also by a refusal; failed to begin or commit.",
                &["name", "outcome"],
            )?,
            audit_lag: histogram(
                "pawl_audit_lag_seconds",
                "From when a change or a lend was handed to the store, with its event, until both were durable.",
                &[],
            )?,
            counted: counter(
                "pawl_audit_counted_total",
                "What is counted in the trail by the minute and not put on record one by one: bad tokens and assertions, denials past the first of a minute, calls past an org's quota of events.",
                &["what"],
            )?,
            expiring: counter(
                "pawl_credential_expires_total",
                "Credentials that were told of in their org's trail because they end soon, by how many days before.",
                &["days"],
            )?,
            below_reserve: gauge(
                "pawl_audit_below_reserve",
                "1 while less is free for the database than the reserve, and only lends and changes are put on record; else 0. Absent where it can't be seen.",
                &[],
            )?,
            not_opened: counter(
                "pawl_sealed_not_opened_total",
                "Sealed values that did not open: of a key that is not held, or not sealed for where they lie.",
                &["cause"],
            )?,
            keys_stale: gauge(
                "pawl_keys_stale",
                "1 while the last reading of the keys from their source failed and the vault goes on with those it has; else 0.",
                &[],
            )?,
            keyring_read: gauge(
                "pawl_keyring_read_timestamp_seconds",
                "When the keys were last read from their source, in Unix time.",
                &[],
            )?,
            frozen: gauge(
                "pawl_frozen",
                "1 while nothing is lent: by a file on this host, by a witness that knows more than the database, or of the whole vault by the database; else 0.",
                &["by"],
            )?,
            certificate_end: gauge(
                "pawl_certificate_not_after_timestamp_seconds",
                "Until when the listener's certificate is good, in Unix time; absent without one.",
                &[],
            )?,
            checkpoint: gauge(
                "pawl_checkpoint_timestamp_seconds",
                "When the newest checkpoint of the trail that this vault knows was made, in Unix time.",
                &[],
            )?,
            checkpoint_size: gauge(
                "pawl_checkpoint_leaves",
                "Leaves of the trail's log under that checkpoint.",
                &[],
            )?,
            chains_damaged: gauge(
                "pawl_chains_damaged",
                "Chains of the trail of which a row is damaged, so that no checkpoint speaks of their end.",
                &[],
            )?,
            witness_lacks: gauge(
                "pawl_witness_lacks_leaves",
                "Leaves under the newest checkpoint that the witness, by its place in the settings, has not seen.",
                &["witness"],
            )?,
            witness_failures: counter(
                "pawl_witness_failures_total",
                "Times that the witness could not be asked, or took no checkpoint.",
                &["witness"],
            )?,
            witness_state: gauge(
                "pawl_witness_state",
                "1 for how it stands with the witness, by its place in the settings: told, behind or silent; else 0.",
                &["witness", "state"],
            )?,
            started: gauge(
                "process_start_time_seconds",
                "When the vault began to serve, in Unix time.",
                &[],
            )?,
            build: gauge("pawl_build_info", "1, and the version that runs.", &["version"])?,
            registry,
        })
    }
}

fn tell(to: impl FnOnce(&Metrics) -> Result<()>) {
    // Fails only for another number of labels than above.
    let _ = METRICS.as_ref().map(to);
}

/// A request was answered. `route` is a pattern of ours.
pub fn request(route: &str, method: &str, status: u16, took: Duration) {
    let method = METHODS.iter().find(|known| **known == method).unwrap_or(&"other");
    let status = match status {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    tell(|metrics| {
        let request = metrics.requests.get_metric_with_label_values(&[route, method, status])?;
        request.observe(took.as_secs_f64());
        Ok(())
    });
}

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A problem was answered.
pub fn refusal(problem: &'static str) {
    tell(|metrics| metrics.refusals.get_metric_with_label_values(&[problem]).map(|refusals| refusals.inc()));
}

/// A lend was answered.
pub fn lend(purpose: &'static str, outcome: &'static str) {
    tell(|metrics| metrics.lends.get_metric_with_label_values(&[purpose, outcome]).map(|lends| lends.inc()));
}

/// An injection ended.
pub fn injection(outcome: &'static str, records: u64, bytes: u64) {
    tell(|metrics| metrics.injections.get_metric_with_label_values(&[outcome]).map(|of| of.inc()));
    let none: &[&str] = &[];
    tell(|metrics| metrics.injected_records.get_metric_with_label_values(none).map(|of| of.inc_by(records)));
    tell(|metrics| metrics.injected_bytes.get_metric_with_label_values(none).map(|of| of.inc_by(bytes)));
    // There from the first one on, so that its first rise is one.
    tell(|metrics| metrics.circuits.get_metric_with_label_values(none).map(|of| of.inc_by(0)));
}

/// A host is not called for a while.
pub fn circuit_opened() {
    let none: &[&str] = &[];
    tell(|metrics| metrics.circuits.get_metric_with_label_values(none).map(|of| of.inc()));
}

/// A connection of the pool was waited for.
pub fn pool_wait(took: Duration) {
    tell(|metrics| {
        let wait = metrics.pool_wait.get_metric_with_label_values::<&str>(&[])?;
        wait.observe(took.as_secs_f64());
        Ok(())
    });
}

/// A transaction ended.
pub fn transaction(name: &'static str, outcome: &'static str, took: Duration) {
    tell(|metrics| {
        let transaction = metrics.transactions.get_metric_with_label_values(&[name, outcome])?;
        transaction.observe(took.as_secs_f64());
        Ok(())
    });
}

/// An event became durable, so long after it was handed to the store.
pub fn event_durable(after: Duration) {
    tell(|metrics| {
        let lag = metrics.audit_lag.get_metric_with_label_values::<&str>(&[])?;
        lag.observe(after.as_secs_f64());
        Ok(())
    });
}

/// Something was counted for the trail, and not put on record by itself.
pub fn counted(what: &'static str) {
    tell(|metrics| metrics.counted.get_metric_with_label_values(&[what]).map(|counted| counted.inc()));
}

/// A credential was told of, so many days before its end.
pub fn credential_expires(days: i64) {
    let days = days.to_string();
    tell(|metrics| metrics.expiring.get_metric_with_label_values(&[&days]).map(|expiring| expiring.inc()));
}

/// Whether less is free than the reserve.
pub fn below_reserve(is_below: bool) {
    let gauge = |metrics: &Metrics| metrics.below_reserve.get_metric_with_label_values::<&str>(&[]);
    tell(|metrics| gauge(metrics).map(|gauge| gauge.set(if is_below { 1.0 } else { 0.0 })));
}

/// A sealed value did not open.
pub fn not_opened(cause: &'static str) {
    tell(|metrics| metrics.not_opened.get_metric_with_label_values(&[cause]).map(|failures| failures.inc()));
}

/// The keys were read from their source.
pub fn keyring_read(at: Moment) {
    tell(|metrics| set(&metrics.keyring_read, &[], at));
}

/// Whether the last reading of the keys failed.
pub fn keys_stale(is_stale: bool) {
    let gauge = |metrics: &Metrics| metrics.keys_stale.get_metric_with_label_values::<&str>(&[]);
    tell(|metrics| gauge(metrics).map(|gauge| gauge.set(if is_stale { 1.0 } else { 0.0 })));
}

/// Whether nothing is lent, by `host` or by `vault`.
pub fn frozen(by: &'static str, is_frozen: bool) {
    let gauge = |metrics: &Metrics| metrics.frozen.get_metric_with_label_values(&[by]);
    tell(|metrics| gauge(metrics).map(|gauge| gauge.set(if is_frozen { 1.0 } else { 0.0 })));
}

/// How many events became durable since the process began.
pub fn events_durable() -> u64 {
    let lag = METRICS.as_ref().and_then(|of| of.audit_lag.get_metric_with_label_values::<&str>(&[]).ok());
    lag.map_or(0, |lag| lag.get_sample_count())
}

/// A checkpoint of the trail is the newest.
pub fn checkpoint(size: u64, at: Moment) {
    tell(|metrics| set(&metrics.checkpoint, &[], at));
    tell(|metrics| count(&metrics.checkpoint_size, &[], size));
}

/// So many chains were stepped over, since a row of them is damaged.
pub fn chains_damaged(chains: usize) {
    tell(|metrics| count(&metrics.chains_damaged, &[], u64::try_from(chains).unwrap_or(u64::MAX)));
}

/// What the witness, by its place in the settings, has not seen.
pub fn witness_lacks(number: usize, leaves: u64) {
    tell(|metrics| count(&metrics.witness_lacks, &[&number.to_string()], leaves));
}

/// A witness did not do what it was asked.
pub fn witness_failed(number: usize) {
    let number = number.to_string();
    tell(|metrics| metrics.witness_failures.get_metric_with_label_values(&[&number]).map(|of| of.inc()));
}

/// Whether it stands so with the witness.
pub fn witness_stands(number: usize, state: &'static str, is_so: bool) {
    let labels = [&*number.to_string(), state];
    let value = if is_so { 1.0 } else { 0.0 };
    tell(|metrics| metrics.witness_state.get_metric_with_label_values(&labels).map(|of| of.set(value)));
}

fn count(gauge: &GaugeVec, labels: &[&str], number: u64) -> Result<()> {
    // Exact in a double up to 2^53.
    let number = Duration::from_secs(number).as_secs_f64();
    gauge.get_metric_with_label_values(labels).map(|gauge| gauge.set(number))
}

/// The vault begins to serve.
pub fn started(at: Moment) {
    tell(|metrics| set(&metrics.started, &[], at));
    // None so far is known, and is 0.
    for days in ["14", "7", "1"] {
        tell(|metrics| metrics.expiring.get_metric_with_label_values(&[days]).map(drop));
    }
    let version = env!("CARGO_PKG_VERSION");
    tell(|metrics| metrics.build.get_metric_with_label_values(&[version]).map(|build| build.set(1.0)));
}

/// Until when the certificate in use is good.
pub fn certificate_ends(at: Moment) {
    tell(|metrics| set(&metrics.certificate_end, &[], at));
}

fn set(gauge: &GaugeVec, labels: &[&str], at: Moment) -> Result<()> {
    // To the second; exact in a double for as long as there are dates.
    let seconds = Duration::from_secs(u64::try_from(at.seconds()).unwrap_or(0)).as_secs_f64();
    gauge.get_metric_with_label_values(labels).map(|gauge| gauge.set(seconds))
}

/// All of them, as Prometheus reads them.
pub fn text() -> Vec<u8> {
    let mut text = Vec::new();
    let families = METRICS.as_ref().map(|metrics| metrics.registry.gather()).unwrap_or_default();
    // Into memory: only an empty family fails, and none is gathered.
    let _ = TextEncoder::new().encode(&families, &mut text);
    text
}
